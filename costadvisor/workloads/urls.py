from django.urls import path

from costadvisor.workloads import views

app_name = "workloads"
urlpatterns = [
    path("", views.index, name="index"),
    path("new/", views.create, name="create"),
    path("from-spend/", views.from_spend, name="from_spend"),
    path("from-series/", views.from_series, name="from_series"),
    path("merge/", views.merge, name="merge"),
    path("from-trace/", views.from_trace, name="from_trace"),
    path("<int:workload_id>/", views.detail, name="detail"),
    path("<int:workload_id>/edit/", views.edit, name="edit"),
    path("<int:workload_id>/remove/", views.remove, name="remove"),
    path("<int:workload_id>/trace/", views.apply_trace, name="apply_trace"),
]
