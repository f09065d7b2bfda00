from django.urls import path

from costadvisor.calibration import views

app_name = "calibration"
urlpatterns = [
    path("", views.index, name="index"),
    path("new/", views.create, name="create"),
    path("import/", views.import_record, name="import_record"),
    path("<int:job_id>/", views.job, name="job"),
    path("<int:job_id>/progress/", views.progress, name="progress"),
    path("<int:job_id>/start/", views.start, name="start"),
    path("<int:job_id>/cancel/", views.cancel, name="cancel"),
    path("records/<int:record_id>/", views.record, name="record"),
    path("records/<int:record_id>/download/", views.download, name="download"),
]
