"""The Celery application: `celery -A costadvisor worker`. Tasks use `@app.task`, so the web process sends by it too."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costadvisor.settings.development")

app = Celery("costadvisor")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
