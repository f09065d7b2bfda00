from django.urls import path

from costadvisor.home import views

app_name = "home"
urlpatterns = [
    path("", views.start, name="start"),
    path("selftest/", views.selftest, name="selftest"),
    path("o/<slug:organization_slug>/", views.organization, name="organization"),
]
