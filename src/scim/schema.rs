//! The attribute tables: what RFC 7643 sections 3.1, 4.1 and 4.3 say about each attribute of a
//! User, in one place. Parsing, filters, patches, projection and `/Schemas` all use them.
//!
//! There is one extension. Code that treats it differently from the core schema refers to it by
//! name ([`ENTERPRISE`], [`ENTERPRISE_URN`]; the page has the URN in `facts.js`). A second
//! extension would need an entry in [`SCHEMAS`] and a review of each of those places.

use serde_json::{Value, json};

/// URN of the core User schema (RFC 7643 section 4.1).
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// URN of the Enterprise User extension (RFC 7643 section 4.3).
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The path of `part` within `whole`: an attribute, the URN of an extension (RFC 7644 section
/// 3.10), or the whole resource, whose path is empty.
pub fn path_within(whole: &str, part: &str) -> String {
    match whole {
        "" => part.to_owned(),
        ENTERPRISE_URN => format!("{whole}:{part}"),
        _ => format!("{whole}.{part}"),
    }
}

/// The data types of RFC 7643 section 2.3 that a User uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    String,
    /// `true` or `false`.
    Boolean,
    /// RFC 3339.
    DateTime,
    /// A URI.
    Reference,
    /// Base64.
    Binary,
    /// An object with sub-attributes.
    Complex,
}

/// RFC 7643 section 2.2, "mutability".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// Only the service provider sets it.
    ReadOnly,
    /// Any client with permission to write can set it.
    ReadWrite,
    /// Accepted but never returned.
    WriteOnly,
}

/// RFC 7643 section 2.2, "returned".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// In every answer.
    Always,
    /// Unless a projection leaves it out.
    Default,
    /// Never.
    Never,
}

/// One attribute and its characteristics (RFC 7643 section 2.2).
#[derive(Clone, Copy, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are the characteristics that RFC 7643 names, each on its own"
)]
pub struct Attribute {
    /// The name in its canonical case.
    pub name: &'static str,
    /// The data type.
    pub kind: Kind,
    /// Whether it holds a list.
    pub multi_valued: bool,
    /// Whether a resource must have it.
    pub required: bool,
    /// Whether comparisons are case-sensitive.
    pub case_exact: bool,
    /// Who may set it.
    pub mutability: Mutability,
    /// When it is shown.
    pub returned: Returned,
    /// Whether the service provider keeps it unique.
    pub unique: bool,
    /// Values that are suggested, not enforced.
    pub canonical_values: &'static [&'static str],
    /// What a reference may point to.
    pub reference_types: &'static [&'static str],
    /// The parts of a complex attribute.
    pub sub_attributes: &'static [Attribute],
    /// What it is for.
    pub description: &'static str,
}

impl Attribute {
    const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self {
            name,
            kind,
            multi_valued: false,
            required: false,
            case_exact: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            unique: false,
            canonical_values: &[],
            reference_types: &[],
            sub_attributes: &[],
            description,
        }
    }

    const fn text(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Kind::String, description)
    }

    const fn exact_text(name: &'static str, description: &'static str) -> Self {
        let mut attribute = Self::text(name, description);
        attribute.case_exact = true;
        attribute
    }

    const fn complex(
        name: &'static str,
        sub_attributes: &'static [Attribute],
        description: &'static str,
    ) -> Self {
        let mut attribute = Self::new(name, Kind::Complex, description);
        attribute.sub_attributes = sub_attributes;
        attribute
    }

    const fn list(
        name: &'static str,
        sub_attributes: &'static [Attribute],
        description: &'static str,
    ) -> Self {
        let mut attribute = Self::complex(name, sub_attributes, description);
        attribute.multi_valued = true;
        attribute
    }

    const fn reference(
        name: &'static str,
        reference_types: &'static [&'static str],
        description: &'static str,
    ) -> Self {
        let mut attribute = Self::new(name, Kind::Reference, description);
        attribute.reference_types = reference_types;
        attribute.case_exact = true;
        attribute
    }

    const fn read_only(mut self) -> Self {
        self.mutability = Mutability::ReadOnly;
        self
    }

    const fn canonical(mut self, values: &'static [&'static str]) -> Self {
        self.canonical_values = values;
        self
    }

    /// The sub-attribute of this name, in any case.
    pub fn sub_attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(self.sub_attributes, name)
    }

    /// The attribute definition as `/Schemas` shows it (RFC 7643 section 7).
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "name": self.name,
            "type": match self.kind {
                Kind::String => "string",
                Kind::Boolean => "boolean",
                Kind::DateTime => "dateTime",
                Kind::Reference => "reference",
                Kind::Binary => "binary",
                Kind::Complex => "complex",
            },
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "mutability": match self.mutability {
                Mutability::ReadOnly => "readOnly",
                Mutability::ReadWrite => "readWrite",
                Mutability::WriteOnly => "writeOnly",
            },
            "returned": match self.returned {
                Returned::Always => "always",
                Returned::Default => "default",
                Returned::Never => "never",
            },
            "uniqueness": if self.unique { "server" } else { "none" },
        });
        if self.kind == Kind::Complex {
            json["subAttributes"] = self.sub_attributes.iter().map(Self::to_json).collect();
        } else {
            json["caseExact"] = json!(self.case_exact);
        }
        if !self.canonical_values.is_empty() {
            json["canonicalValues"] = json!(self.canonical_values);
        }
        if !self.reference_types.is_empty() {
            json["referenceTypes"] = json!(self.reference_types);
        }
        json
    }
}

/// A schema: its URN and its attributes.
#[derive(Debug)]
pub struct Schema {
    /// The URN that identifies it.
    pub urn: &'static str,
    /// A short name.
    pub name: &'static str,
    /// What it describes.
    pub description: &'static str,
    /// Its attributes, in the order in which they are stored and shown.
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// The attribute of this name, in any case.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(self.attributes, name)
    }
}

/// The schemas of a User, the core one first.
pub static SCHEMAS: [&Schema; 2] = [&USER, &ENTERPRISE];

/// The attributes that every resource has (RFC 7643 sections 3 and 3.1).
pub static COMMON: &[Attribute] = &[
    Attribute {
        returned: Returned::Always,
        multi_valued: true,
        // URNs are compared without regard to case (RFC 8141 section 3.1).
        case_exact: false,
        ..Attribute::reference("schemas", &["uri"], "The schemas of its attributes").read_only()
    },
    Attribute {
        returned: Returned::Always,
        unique: true,
        ..Attribute::exact_text(
            "id",
            "Identifier given by the service provider, never reused",
        )
        .read_only()
    },
    Attribute::exact_text("externalId", "Identifier given by the provisioning client"),
    Attribute::complex(
        "meta",
        META,
        "What the service provider knows of the resource",
    )
    .read_only(),
];

const META: &[Attribute] = &[
    Attribute::exact_text("resourceType", "Name of the resource type").read_only(),
    Attribute::new("created", Kind::DateTime, "When it was created").read_only(),
    Attribute::new("lastModified", Kind::DateTime, "When it was last changed").read_only(),
    Attribute::reference("location", &["uri"], "Its URI").read_only(),
    Attribute::exact_text("version", "Its entity tag").read_only(),
];

const NAME: &[Attribute] = &[
    Attribute::text("formatted", "The whole name, ready to be shown"),
    Attribute::text("familyName", "Family name, last name"),
    Attribute::text("givenName", "Given name, first name"),
    Attribute::text("middleName", "Middle names"),
    Attribute::text("honorificPrefix", "Title before the name, such as Dr."),
    Attribute::text("honorificSuffix", "Suffix after the name, such as III"),
];

const VALUE: Attribute = Attribute::text("value", "The value itself");
const DISPLAY: Attribute = Attribute::text("display", "The value as it is shown to people");
const TYPE: Attribute = Attribute::text("type", "What the value is used for");
const PRIMARY: Attribute = Attribute::new(
    "primary",
    Kind::Boolean,
    "Whether this is the preferred value; at most one is",
);

const EMAILS: &[Attribute] = &[
    VALUE,
    DISPLAY,
    TYPE.canonical(&["work", "home", "other"]),
    PRIMARY,
];
const PHONES: &[Attribute] = &[
    VALUE,
    DISPLAY,
    TYPE.canonical(&["work", "home", "mobile", "fax", "pager", "other"]),
    PRIMARY,
];
const IMS: &[Attribute] = &[
    VALUE,
    DISPLAY,
    TYPE.canonical(&["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]),
    PRIMARY,
];
const PHOTOS: &[Attribute] = &[
    Attribute::reference("value", &["external"], "URI of the picture"),
    DISPLAY,
    TYPE.canonical(&["photo", "thumbnail"]),
    PRIMARY,
];
const ADDRESSES: &[Attribute] = &[
    Attribute::text("formatted", "The whole address, ready for a label"),
    Attribute::text("streetAddress", "Street, house number, post box"),
    Attribute::text("locality", "City"),
    Attribute::text("region", "State or region"),
    Attribute::text("postalCode", "Postal code"),
    Attribute::text("country", "Country, ISO 3166-1 alpha-2"),
    TYPE.canonical(&["work", "home", "other"]),
    PRIMARY,
];
const GROUPS: &[Attribute] = &[
    VALUE.read_only(),
    Attribute::reference("$ref", &["User", "Group"], "URI of the group").read_only(),
    DISPLAY.read_only(),
    TYPE.read_only().canonical(&["direct", "indirect"]),
];
const PLAIN: &[Attribute] = &[VALUE, DISPLAY, TYPE, PRIMARY];
const CERTIFICATES: &[Attribute] = &[
    Attribute {
        case_exact: true,
        ..Attribute::new("value", Kind::Binary, "DER of the certificate in base64")
    },
    DISPLAY,
    TYPE,
    PRIMARY,
];

/// The core User schema.
pub static USER: Schema = Schema {
    urn: USER_URN,
    name: "User",
    description: "User account",
    attributes: &[
        Attribute {
            required: true,
            unique: true,
            ..Attribute::text(
                "userName",
                "Name the user is known by, usually the primary email; unique without regard to case",
            )
        },
        Attribute::complex("name", NAME, "The parts of the user's name"),
        Attribute::text("displayName", "The name as it is shown to people"),
        Attribute::text("nickName", "Casual name"),
        Attribute::reference("profileUrl", &["external"], "URI of the user's page"),
        Attribute::text("title", "Job title"),
        Attribute::text("userType", "Relation to the organisation, such as Employee"),
        Attribute::text(
            "preferredLanguage",
            "Preferred language, as in Accept-Language",
        ),
        Attribute::text("locale", "Locale for formats, such as en-US"),
        Attribute::text("timezone", "IANA time zone name"),
        Attribute::new("active", Kind::Boolean, "Whether the account may be used"),
        Attribute {
            mutability: Mutability::WriteOnly,
            returned: Returned::Never,
            case_exact: true,
            ..Attribute::text("password", "Accepted and thrown away; never stored")
        },
        Attribute::list("emails", EMAILS, "Email addresses"),
        Attribute::list("phoneNumbers", PHONES, "Phone numbers"),
        Attribute::list("ims", IMS, "Instant messaging addresses"),
        Attribute::list("photos", PHOTOS, "Pictures of the user"),
        Attribute::list("addresses", ADDRESSES, "Postal addresses"),
        Attribute::list(
            "groups",
            GROUPS,
            "Groups the user is in; groups are not provisioned",
        )
        .read_only(),
        Attribute::list("entitlements", PLAIN, "Things the user is entitled to"),
        Attribute::list("roles", PLAIN, "Roles of the user"),
        Attribute::list("x509Certificates", CERTIFICATES, "Certificates of the user"),
    ],
};

const MANAGER: &[Attribute] = &[
    Attribute::exact_text("value", "The id of the manager"),
    Attribute::reference("$ref", &["User"], "URI of the manager"),
    Attribute::text("displayName", "The name of the manager").read_only(),
];

/// The Enterprise User extension.
pub static ENTERPRISE: Schema = Schema {
    urn: ENTERPRISE_URN,
    name: "EnterpriseUser",
    description: "Enterprise User",
    attributes: &[
        Attribute::text(
            "employeeNumber",
            "Number or text that identifies the employee",
        ),
        Attribute::text("costCenter", "Cost center"),
        Attribute::text("organization", "Organisation"),
        Attribute::text("division", "Division"),
        Attribute::text("department", "Department"),
        Attribute::complex("manager", MANAGER, "The user's manager"),
    ],
};

/// The attribute of this name among `attributes`, in any case.
pub fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// Whether only the service provider sets the member of a resource with this name, in any case:
/// `schemas`, `id`, `meta`. Clients echo these members.
pub fn is_server_managed(name: &str) -> bool {
    find(COMMON, name).is_some_and(|attribute| attribute.mutability == Mutability::ReadOnly)
}

/// The schema with this URN, in any case.
pub fn by_urn(urn: &str) -> Option<&'static Schema> {
    SCHEMAS
        .into_iter()
        .find(|schema| schema.urn.eq_ignore_ascii_case(urn))
}
