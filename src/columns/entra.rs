//! The list of users that Microsoft Entra writes (*Users, Download users*): its columns that hold
//! nothing of a user here. They are left out if the header is Entra's, and unknown in other files.

use super::names::folded;

/// The column, folded, by which a header is known to be Entra's. No export of this program has it.
const MARK: &str = "userprincipalname";

/// Names of columns, folded. `id`, or `objectId` in older lists, is Entra's id: no user here is
/// found by it. `alternateEmailAddress` may hold several emails in one cell.
const LEFT_OUT: &[&str] = &[
    "id",
    "objectid",
    "usagelocation",
    "officelocation",
    "physicaldeliveryofficename",
    "alternateemailaddress",
    "authenticationphonenumber",
    "authenticationalternativephonenumber",
    "authenticationemail",
    "agegroup",
    "consentprovidedforminor",
    "legalagegroupclassification",
    "companyname",
    "creationtype",
    "directorysynced",
    "invitationstate",
    "identityissuer",
    "createddatetime",
];

/// Whether the header is that of a list from Entra.
pub(super) fn is_header(header: &[Option<&str>]) -> bool {
    header.iter().flatten().any(|name| folded(name) == MARK)
}

/// Whether a column of such a list is left out.
pub(super) fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&&*folded(name))
}
