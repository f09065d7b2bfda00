from django.urls import path

from costadvisor.spend import views

app_name = "spend"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("reconciliation/", views.reconciliation, name="reconciliation"),
    path("upload/", views.upload, name="upload"),
    path("uploads/<int:upload_id>/", views.preview, name="preview"),
    path("uploads/<int:upload_id>/columns/", views.mapping, name="mapping"),
    path("uploads/<int:upload_id>/confirm/", views.confirm, name="confirm"),
    path("uploads/<int:upload_id>/discard/", views.discard, name="discard"),
    path("typed/", views.typed_cost, name="typed_cost"),
    path("imports/<int:import_id>/remove/", views.import_remove, name="import_remove"),
]
