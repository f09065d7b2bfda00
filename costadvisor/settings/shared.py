"""Settings of every mode; `development`, `production` and `testing` add what differs."""

import sys
from pathlib import Path
from typing import Any

from genai_prices.update_prices import DEFAULT_UPDATE_URL

from costadvisor.common import environment

BASE_DIR = Path(__file__).resolve().parents[2]
VAR_DIR = Path(environment.text("COSTADVISOR_VAR", default=str(BASE_DIR / "var"), right="")).absolute()
VAR_DIR.mkdir(parents=True, exist_ok=True)

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "costadvisor.common",
    "costadvisor.audit",
    "costadvisor.accounts",
    "costadvisor.catalog",
    "costadvisor.spend",
    "costadvisor.workloads",
    "costadvisor.calibration",
    "costadvisor.decisions",
    "costadvisor.reports",
    "costadvisor.home",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "costadvisor.common.request_size.RequestSizeLimit",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "costadvisor.urls"
WSGI_APPLICATION = "costadvisor.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["costadvisor.common.templatetags.figures"],
        },
    }
]

# One process writes at a time in SQLite. WAL lets readers go on meanwhile, and IMMEDIATE takes the write lock at the
# start of a transaction, where waiting is possible, instead of failing in its middle.
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


def database(config: dict[str, Any]) -> dict[str, Any]:
    """The database with the options of its kind."""
    if config["ENGINE"].endswith("sqlite3"):
        return config | {"OPTIONS": SQLITE_OPTIONS}
    return config | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


DEFAULT_DATABASE_URL = f"sqlite:///{VAR_DIR / 'costadvisor.sqlite3'}"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "home:start"
LOGOUT_REDIRECT_URL = "accounts:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Hides what is secret on DEBUG's error page too, where Django's own filter shows it.
DEFAULT_EXCEPTION_REPORTER_FILTER = "costadvisor.common.error_page.AlwaysHidden"

LANGUAGE_CODE = "en-us"
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "costadvisor.decisions.plotly_js.PlotlyFinder",
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
MAX_UPLOAD_BYTES = 16 * 2**20
MAX_REQUEST_BYTES = MAX_UPLOAD_BYTES + 2**20  # the file and the form around it

# Bills. What a file may have in all; the refusal names the setting. Large ones are read beside the web process.
BILL_UPLOADS_DIR = VAR_DIR / "uploads"
BILL_MAX_BYTES = environment.whole_number("BILL_MAX_BYTES", default=2 * 2**30, minimum=2**20, maximum=2**40)
BILL_MAX_UNPACKED_BYTES = environment.whole_number(
    "BILL_MAX_UNPACKED_BYTES", default=8 * 2**30, minimum=2**20, maximum=2**40
)
BILL_MAX_JSON_BYTES = 64 * 2**20
BILL_MAX_ROWS = environment.whole_number("BILL_MAX_ROWS", default=20_000_000, minimum=1000, maximum=10**9)
BILL_MAX_BUCKETS = 200_000
BILL_READ_AT_ONCE_BYTES = 64 * 2**20
BILL_STORE_AT_ONCE_ROWS = 200_000
BILL_UPLOAD_PATH = r"/o/[-\w]+/spend/upload/"

# Bills fetched from providers. Their keys are sealed by this secret, or by SECRET_KEY where there is none.
PROVIDER_KEYS_SECRET = environment.secret("PROVIDER_KEYS_SECRET", min_length=50, default="")
BILL_PULL_URLS = {
    "openai": "https://api.openai.com",
    "anthropic": "https://api.anthropic.com",
    "openrouter": "https://openrouter.ai",
}
BILL_PULL_SILENT_S = 30  # without a byte
BILL_PULL_WHOLE_S = 120  # for one page
BILL_PULL_MOST_PAGES = 1000
BILL_PULL_TRIES = 4  # of one page; a second between the first two, and then twice as long each time
BILL_PULL_BACKOFF_S = 1.0
BILL_PULL_LONGEST_WAIT_S = 60.0  # when a provider asks for longer, the fetch goes on at the next time

# Prices. The file that genai-prices itself updates from, or a mirror's; and how old a price may be before it is to be
# checked, by kind.
PRICES_URL = environment.url("PRICES_URL", default=DEFAULT_UPDATE_URL, schemes=("https", "http"))
PRICES_MAX_BYTES = environment.whole_number("PRICES_MAX_BYTES", default=64 * 2**20, minimum=2**10, maximum=2**32)
PRICES_SILENT_S = 30
PRICES_WHOLE_S = 120
PRICE_MAX_AGE_DAYS = {
    "api": environment.whole_number("PRICE_MAX_AGE_API_DAYS", default=45, minimum=1, maximum=3650),
    "gpu": environment.whole_number("PRICE_MAX_AGE_GPU_DAYS", default=45, minimum=1, maximum=3650),
}

# The API. A case of twenty options with a trace's lengths and a week of hours has some 100 kB.
MAX_CASE_BYTES = 2**20
MAX_CASE_WORK = 5_000_000  # draws x months x options: some five seconds of one core
API_CALLS_PER_MINUTE = 30
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["costadvisor.accounts.api.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["costadvisor.accounts.api.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["costadvisor.accounts.api.CallsPerMinute"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

# To standard error, whatever DEBUG says: Django alone keeps errors of production for a mail to admins.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["console"], "level": "INFO"}},
}

# Jobs. The database row is the truth and a message only carries its id, so results are not kept and a lost or
# doubled message does no harm. `filesystem://` needs no broker to be installed.
BROKER_SCHEMES = ("filesystem", "amqp", "amqps", "redis", "rediss")
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
# A worker serves this queue, unless it is started with `-Q cpu,gpu` or `-Q gpu`.
CELERY_TASK_DEFAULT_QUEUE = "cpu"
# Only for those who run a beat process: workers reap by themselves, and `pull_bills` may be cron's. This scheduler
# keeps no file, and so no pickle.
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "reap calibrations": {"task": "calibration_reap", "schedule": 60.0, "options": {"expires": 60}},
    "fetch bills that are due": {"task": "bills_pull", "schedule": 3600.0, "options": {"expires": 3600}},
}

# Calibrations. A worker is taken for lost when it was not heard of for CALIBRATION_LEASE_S.
CALIBRATION_DIR = VAR_DIR / "calibration"
CALIBRATION_MODELS = environment.folders("CALIBRATION_MODELS")
CALIBRATION_COMMAND = [sys.executable, "-m", "engine.calibrate"]
CALIBRATION_HEARTBEAT_S = 2.0
CALIBRATION_LEASE_S = 60
CALIBRATION_GRACE_S = 20  # between asking the engine to end and killing it
CALIBRATION_RESEND_S = 300
CALIBRATION_REAP_EVERY_S = 60
CALIBRATION_REAP_IN_WORKER = environment.flag("CALIBRATION_REAP_IN_WORKER", default=True)


def broker_transport_options(broker_url: str) -> dict[str, Any]:
    """Folders of the filesystem broker (made here: kombu expects them); nothing for a real broker."""
    if not broker_url.startswith("filesystem://"):
        return {}
    messages, control = VAR_DIR / "broker" / "messages", VAR_DIR / "broker" / "control"
    for folder in (messages, control):
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        "store_processed": False,
    }
