"""Production. Refuses to start without SECRET_KEY, ALLOWED_HOSTS, DATABASE_URL and BROKER_URL."""

from costadvisor.common import environment
from costadvisor.settings.shared import *

DEBUG = False
SECRET_KEY = environment.secret("SECRET_KEY", min_length=50)
ALLOWED_HOSTS = environment.host_names("ALLOWED_HOSTS")

DATABASES = {"default": database(environment.database("DATABASE_URL"))}

CELERY_BROKER_URL = environment.url("BROKER_URL", schemes=BROKER_SCHEMES)
CELERY_BROKER_TRANSPORT_OPTIONS = broker_transport_options(CELERY_BROKER_URL)

STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = environment.whole_number("HSTS_SECONDS", default=31_536_000, minimum=0, maximum=63_072_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
# Only behind a proxy that always sets this header itself: otherwise any client could claim to have come by TLS.
if environment.flag("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
