"""Downloads of a version, under the version's own address."""

from django.urls import path

from costadvisor.reports import views

app_name = "reports"
urlpatterns = [
    path("recommendation.pdf", views.pdf, name="pdf"),
    path("recommendation.json", views.as_json, name="json"),
    path("options.csv", views.options, name="options_csv"),
    path("assumptions.csv", views.assumption_log, name="assumptions_csv"),
]
