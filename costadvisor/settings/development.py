"""One machine, no environment variables needed: SQLite and a filesystem broker under `var/`, loopback only."""

from costadvisor.common import environment
from costadvisor.settings.shared import *

DEBUG = environment.flag("DEBUG", default=True)
SECRET_KEY = "development only: production refuses to start without one of its own"  # noqa: S105 - not a secret
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
WHITENOISE_USE_FINDERS = True  # serves static files from the apps, without collectstatic

DATABASES = {"default": database(environment.database("DATABASE_URL", default=DEFAULT_DATABASE_URL))}

CELERY_BROKER_URL = environment.url("BROKER_URL", default="filesystem://", schemes=BROKER_SCHEMES)
CELERY_BROKER_TRANSPORT_OPTIONS = broker_transport_options(CELERY_BROKER_URL)
