//! What the service provider says about itself (RFC 7644 section 4), and the answers for resources
//! that it does not have.

#![allow(
    clippy::unnecessary_wraps,
    reason = "a handler's type is the route table's, also where it cannot fail"
)]

use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;
use super::reply::{self, Outcome};
use super::request::Admission;
use crate::access::Principal;
use crate::limits;
use crate::scim::bulk::Endpoint;
use crate::scim::message;
use crate::scim::schema::{self, ENTERPRISE_URN, Schema, USER_URN};

/// `GET /healthz`: shows that the process answers.
pub(super) fn healthz(_: &Api, _: &Admission) -> Outcome {
    Ok(reply::json(200, &json!({"status": "ok"})))
}

/// Refuses a filter (RFC 7644 section 4), unless it is blank; the parameters of paging are ignored,
/// since there is only one page.
fn unfiltered(admission: &Admission) -> Result<(), Problem> {
    match admission.query("filter") {
        Some(filter) if !filter.trim().is_empty() => Err(Problem::no_filter_here()),
        _ => Ok(()),
    }
}

/// `GET /ServiceProviderConfig` (RFC 7643 section 5): the same for everybody.
pub(super) fn service_provider_config(api: &Api, admission: &Admission) -> Outcome {
    unfiltered(admission)?;
    Ok(reply::scim_value(&config(api, "ServiceProviderConfig")))
}

/// `GET /ServiceProviderConfigs`: the plural that Okta's provisioning agent asks for,
/// with Okta's own statement of what can be provisioned.
pub(super) fn service_provider_configs(
    api: &Api,
    admission: &Admission,
    _: &Principal,
    _: &[u8],
) -> Outcome {
    const OKTA_URN: &str = "urn:okta:schemas:scim:providerconfig:1.0";
    unfiltered(admission)?;
    let mut config = config(api, "ServiceProviderConfigs");
    config["schemas"] = json!([
        "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig",
        OKTA_URN
    ]);
    config[OKTA_URN] = json!({
        "userManagementCapabilities": [
            "IMPORT_NEW_USERS",
            "IMPORT_PROFILE_UPDATES",
            "PUSH_NEW_USERS",
            "PUSH_PROFILE_UPDATES",
            "PUSH_USER_DEACTIVATION",
            "REACTIVATE_USERS"
        ]
    });
    Ok(reply::scim_value(&config))
}

fn config(api: &Api, name: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {
            "supported": true,
            "maxOperations": limits::BULK_OPERATIONS_MAX,
            "maxPayloadSize": limits::BODY_BYTES_MAX
        },
        "filter": {"supported": true, "maxResults": limits::COUNT_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": true},
        "etag": {"supported": true},
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": limits::COUNT_DEFAULT,
            "maxPageSize": limits::COUNT_MAX,
            "cursorTimeout": limits::CURSOR_DURATION_MIN.as_secs()
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "API token",
            "description": "Authorization: Bearer TOKEN, with a token that the administrator issues",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{}/{name}", api.base_url())
        }
    })
}

/// `GET /ResourceTypes` (RFC 7643 section 6).
pub(super) fn resource_types(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    unfiltered(admission)?;
    Ok(reply::scim_value(&message::list(&[user_type(api)])))
}

/// `GET /ResourceTypes/{id}`.
pub(super) fn resource_type(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    if admission.parameter() != "User" {
        return Err(Problem::no_such_resource("resource type"));
    }
    Ok(reply::scim_value(&user_type(api)))
}

fn user_type(api: &Api) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "description": "User account",
        "schema": USER_URN,
        "schemaExtensions": [{"schema": ENTERPRISE_URN, "required": false}],
        "meta": {
            "resourceType": "ResourceType",
            "location": format!("{}/ResourceTypes/User", api.base_url())
        }
    })
}

/// `GET /Schemas` (RFC 7643 section 7).
pub(super) fn schemas(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    unfiltered(admission)?;
    let all: Vec<Value> = schema::SCHEMAS
        .iter()
        .map(|schema| definition(api, schema))
        .collect();
    Ok(reply::scim_value(&message::list(&all)))
}

/// `GET /Schemas/{URN}`.
pub(super) fn schema(api: &Api, admission: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    let schema =
        schema::by_urn(admission.parameter()).ok_or_else(|| Problem::no_such_resource("schema"))?;
    Ok(reply::scim_value(&definition(api, schema)))
}

fn definition(api: &Api, schema: &Schema) -> Value {
    let attributes: Vec<Value> = schema
        .attributes
        .iter()
        .map(schema::Attribute::to_json)
        .collect();
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": schema.urn,
        "name": schema.name,
        "description": schema.description,
        "attributes": attributes,
        "meta": {
            "resourceType": "Schema",
            "location": format!("{}/Schemas/{}", api.base_url(), schema.urn)
        }
    })
}

/// `GET /Groups`: an empty list, so that a ticked *Import Groups* does no harm.
pub(super) fn no_groups(_: &Api, _: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    Ok(reply::scim_value(&message::list(&[])))
}

/// `GET /Groups/{id}`: there are no groups.
pub(super) fn no_group(_: &Api, _: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    Err(Problem::no_such_resource("group"))
}

/// Any write to `/Groups`.
pub(super) fn groups_not_provisioned(_: &Api, _: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    Err(Problem::endpoint_not_implemented(Endpoint::Groups))
}

/// `/Me`: not implemented, since a token is nobody's account (RFC 7644 section 3.11).
pub(super) fn no_me(_: &Api, _: &Admission, _: &Principal, _: &[u8]) -> Outcome {
    Err(Problem::endpoint_not_implemented(Endpoint::Me))
}
