"""Addresses of workloads, under /o/<organization>/workloads/; and /api/v1/workloads, where a token names it."""

from django.urls import path

from costadvisor.workloads import api, views

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
api_urls = (
    [
        path("workloads", api.WorkloadListView.as_view(), name="list"),
        path("workloads/parts", api.PartsView.as_view(), name="parts"),
        path("workloads/derive", api.DeriveView.as_view(), name="derive"),
        path("workloads/merge", api.MergeView.as_view(), name="merge"),
        path("workloads/trace", api.TraceView.as_view(), name="trace"),
        path("workloads/<int:workload_id>", api.WorkloadView.as_view(), name="workload"),
    ],
    "workloads_api",
)
