"""Every address. An organization's rooms live under /o/<organization>/, which the gates of `accounts` guard."""

from django.urls import include, path

from costadvisor.catalog.urls import api_urls as prices_api_urls
from costadvisor.decisions.urls import api_urls, verify_urls
from costadvisor.spend.urls import api_urls as spend_api_urls
from costadvisor.workloads.urls import api_urls as workloads_api_urls

urlpatterns = [
    path("", include("costadvisor.home.urls")),
    path("", include("costadvisor.accounts.urls")),
    path("o/<slug:organization_slug>/spend/", include("costadvisor.spend.urls")),
    path("o/<slug:organization_slug>/prices/", include("costadvisor.catalog.urls")),
    path("o/<slug:organization_slug>/workloads/", include("costadvisor.workloads.urls")),
    path("o/<slug:organization_slug>/calibrations/", include("costadvisor.calibration.urls")),
    path("o/<slug:organization_slug>/decisions/", include("costadvisor.decisions.urls")),
    path("o/<slug:organization_slug>/decisions/", include("costadvisor.reports.urls")),
    path("api/v1/", include(api_urls)),
    path("api/v1/", include(prices_api_urls)),
    path("api/v1/", include(spend_api_urls)),
    path("api/v1/", include(workloads_api_urls)),
    path("verify/", include(verify_urls)),
]
