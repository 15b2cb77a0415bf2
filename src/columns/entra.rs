//! The list of users that Microsoft Entra writes (*Users, Download users*): its columns that hold
//! nothing of a user here. They are left out if the header is Entra's, and unknown in other files.

use super::names::folded;

/// Names of columns, folded, by which a header is known to be Entra's. Each may be in another file,
/// too, where `id` is that of a user here.
const MARKS: &[&str] = &[
    "userprincipalname",
    "objectid",
    "usagelocation",
    "agegroup",
    "consentprovidedforminor",
    "legalagegroupclassification",
    "creationtype",
    "directorysynced",
    "invitationstate",
    "identityissuer",
    "createddatetime",
];

/// How many of them a header has at least. One of them may be ignored by whoever imports it.
const MARKS_MIN: usize = 3;

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
    let is_mark = |name: &&str| MARKS.contains(&&*folded(name));
    header.iter().flatten().copied().filter(is_mark).count() >= MARKS_MIN
}

/// Whether a column of such a list is left out.
pub(super) fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&&*folded(name))
}
