"""Runs every check of scim2-tester against a server and fails unless all of them succeed.

Usage: check.py BASE_URL CA_FILE, with the API token in GOLINKS_SCIM_TOKEN. What the tester
skips or merely accepts counts as a failure too, and so does a run that is shorter than it was
when this file was written.
"""

import collections
import os
import ssl
import sys

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server
from scim2_tester.utils import Status

# The number of checks that 0.5.2 runs on a service provider with Users and the enterprise
# extension.
CHECKS = 114
# Every kind of check by name, so that a missing one is not hidden by more of another.
TITLES = {
    "access_invalid_resource_type",
    "access_invalid_schema",
    "access_schema_by_id",
    "check_add_attribute",
    "check_remove_attribute",
    "check_replace_attribute",
    "object_creation",
    "object_deletion",
    "object_list_with_attributes",
    "object_query",
    "object_query_with_attributes",
    "object_query_without_id",
    "object_replacement",
    "query_all_resource_types",
    "query_all_schemas",
    "query_resource_type_by_id",
    "random_url",
    "resource_types_endpoint_methods",
    "resource_types_schema_validation",
    "schemas_endpoint_methods",
    "search_with_attributes",
    "service_provider_config_endpoint",
    "service_provider_config_endpoint_methods",
}


def main() -> int:
    base_url, ca_file = sys.argv[1:]
    http = httpx2.Client(
        base_url=base_url,
        headers={"Authorization": f"Bearer {os.environ['GOLINKS_SCIM_TOKEN']}"},
        verify=ssl.create_default_context(cafile=ca_file),
        timeout=30,
    )
    results = check_server(SyncSCIMClient(http))
    failures = [result for result in results if result.status is not Status.SUCCESS]
    for result in failures:
        print(f"{result.status.name} {result.title}: {result.reason}")
    missing = TITLES - {result.title for result in results}
    if missing:
        print("not run:", ", ".join(sorted(missing)))
    counts = collections.Counter(result.status.name for result in results)
    print("scim2-tester:", ", ".join(f"{count} {name}" for name, count in counts.items()))
    return 1 if failures or missing or len(results) < CHECKS else 0


if __name__ == "__main__":
    sys.exit(main())
