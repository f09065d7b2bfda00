"""Downloads of a version, beside its page: under /o/<organization>/decisions/."""

from django.urls import path

from costadvisor.reports import views

VERSION = "<int:decision_id>/versions/<int:version>"

app_name = "reports"
urlpatterns = [
    path(f"{VERSION}/recommendation.pdf", views.pdf, name="pdf"),
    path(f"{VERSION}/recommendation.json", views.as_json, name="json"),
    path(f"{VERSION}/options.csv", views.options, name="options_csv"),
    path(f"{VERSION}/assumptions.csv", views.assumption_log, name="assumptions_csv"),
]
