//! What a file may look like: encodings, quotes, line ends, headers, and columns that are unknown.

use std::fs;

use super::{Desk, check};

#[test]
fn all_columns_that_stand_for_nothing_are_told_at_once_and_marks_are_kept() {
    let desk = Desk::new();
    desk.write(
        "hr.csv",
        "\u{feff}userName;Shoe size;active;Badge\nsøren@x;43;perhaps;7\n",
    );
    let told = desk.import("hr.csv", &[]);
    check(
        &told,
        65,
        &[
            "\"Shoe size\"",
            "all unknown columns: --ignore='Shoe size' --ignore=Badge",
        ],
    );
    check(
        &desk.import("hr.csv", &["--ignore", "Shoe size", "--ignore", "Badge"]),
        1,
        &["1 rejected"],
    );
    let rejects = fs::read_to_string(desk.path("hr.rejects.csv")).expect("text");
    assert!(
        rejects.starts_with("\u{feff}rejected because;userName;"),
        "{rejects}"
    );
    assert!(rejects.contains(";\"søren@x\";\"43\";"), "{rejects}");
    // Columns without a name, as spreadsheets leave them: the suggested options ignore all of them.
    desk.write("empty.csv", "Email,-x,,-X,\na@x,1,,,\n");
    let told = desk.import("empty.csv", &[]);
    check(&told, 65, &["unknown columns: --ignore=-x --ignore=''\n"]);
    check(
        &desk.import("empty.csv", &["--ignore=-x", "--ignore="]),
        0,
        &["1 created"],
    );
}

#[test]
fn what_other_programs_write_is_named_as_it_stands_there() {
    let desk = Desk::new();
    for (name, content, words) in [
        (
            "excel.csv",
            "sep=;\r\nuserName;title\r\n",
            "excel.csv:1: this line is for Excel only",
        ),
        (
            "zwsp.csv",
            "userName,status\na@x,active\u{200b}\n",
            "\"active\\u{200b}\" is not a status",
        ),
        (
            "nfd.csv",
            "userName,status\na@x,active\u{301}\n",
            "\"active\u{301}\" is not a status",
        ),
    ] {
        desk.write(name, content);
        let status = if name == "excel.csv" { 65 } else { 1 };
        check(&desk.import(name, &[]), status, &[words]);
    }
}

#[test]
fn encodings_quotes_and_headers() {
    let desk = Desk::new();
    let wide: Vec<u8> = "userName\na@x\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let long = format!("userName,title\na@x,\"{}\n", "x\n".repeat(100_000));
    let table: &[(&str, Vec<u8>, i32, &str)] = &[
        (
            "bom",
            b"\xef\xbb\xbfuserName\na@x\n".to_vec(),
            0,
            "1 created",
        ),
        ("crlf", b"userName\r\na@x\r\n".to_vec(), 0, "1 unchanged"),
        ("tab", b"userName\ttitle\na@x\tT\n".to_vec(), 0, "1 updated"),
        ("no end", b"userName;title\na@x;U".to_vec(), 0, "1 updated"),
        (
            "latin",
            b"userName\na@x\n\xe9@x\n".to_vec(),
            65,
            "latin.csv:3: the text is not UTF-8",
        ),
        ("wide", wide, 65, "UTF-16"),
        (
            "wide with mark",
            b"\xff\xfeu\0".to_vec(),
            65,
            "iconv -f UTF-16",
        ),
        (
            "open",
            b"userName\na@x\n\"b@x\nc@x\n".to_vec(),
            65,
            "open.csv:3: the row has a quote that is not closed",
        ),
        (
            "long",
            long.into_bytes(),
            65,
            "long.csv:2: the row is longer than 128 KiB",
        ),
        ("empty", Vec::new(), 65, "names the columns, such as"),
        (
            "lines",
            b"{\"userName\":\"a@x\"}\n".to_vec(),
            65,
            "lines.csv:1: this is JSON: the file's name must end with .jsonl",
        ),
        ("array", b"[{}]\n".to_vec(), 65, "this is a JSON array"),
        (
            "unknown",
            b"userName,Titel\n".to_vec(),
            65,
            "did you mean title?",
        ),
        (
            "nobody",
            b"title\nx\n".to_vec(),
            65,
            "no column identifies the user",
        ),
        ("alone", b"userName\n".to_vec(), 0, "0 created"),
        (
            "short",
            b"userName,title\na@x\n".to_vec(),
            1,
            "line 2: the row has 1 cell, and there are 2 columns",
        ),
        (
            "lines that nobody counts",
            b"\xef\xbb\xbf\r\nuserName,title\r\n\r\na@x,\"U\r\nV\"\r\nb@x\r\n".to_vec(),
            1,
            "line 6: ",
        ),
    ];
    for (name, content, status, words) in table {
        let name = format!("{name}.csv");
        desk.write(&name, content);
        check(&desk.import(&name, &[]), *status, &[words]);
    }
    desk.write("array.jsonl", b"[{}]\n");
    let array = "array.jsonl:1: this is a JSON array";
    check(&desk.import("array.jsonl", &[]), 65, &[array]);
    check(&desk.import("nothing.csv", &[]), 74, &["nothing.csv"]);
    let fix = "hint: golinks-scim manual csv lists";
    check(
        &desk.import("unknown.csv", &[]),
        65,
        &[fix, "--ignore=Titel leaves this one out"],
    );
    check(
        &desk.import("unknown.csv", &["--ignore", "titel"]),
        0,
        &["0 created"],
    );
}

/// Each file is refused with advice that helps, and no option would.
#[test]
fn what_is_no_table_with_a_header_is_told_what_to_make_of_it() {
    let desk = Desk::new();
    let to_spreadsheet = "hint: open it in the spreadsheet program, and save it as `CSV UTF-8`\n";
    let array = desk.write("array.json", "[{}]\n");
    let lines = array.with_file_name("array.lines.jsonl");
    let jq = format!(
        "hint: jq -c '.[]' {} > {}\n",
        array.display(),
        lines.display()
    );
    let row = "rows.csv:1: this looks like a row, but the first line must be a header\n";
    let twice = "; give one of the two another name, or remove it: --ignore would leave out both\n";
    for (name, content, words) in [
        ("rows.csv", &b"jane@example.com,Jane,Doe\n"[..], row),
        ("twice.csv", b"Email,email ,title\n", twice),
        ("zip.csv", b"PK\x03\x04\x14\x00\x06\n", to_spreadsheet),
        (
            "old.csv",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00",
            to_spreadsheet,
        ),
        ("array.json", b"[{}]\n", &jq),
    ] {
        desk.write(name, content);
        let told = desk.import(name, &[]);
        check(&told, 65, &[words]);
        assert!(!told.stderr.contains("--ignore="), "{told:?}");
    }
    // A header may have an address beside other names.
    desk.write("one.csv", "userName,x@y\n");
    check(
        &desk.import("one.csv", &[]),
        65,
        &["--ignore='x@y' leaves this one out"],
    );
}

/// Advice for a table would make a file that is then refused as JSON.
#[test]
fn lines_of_json_stay_json_in_another_encoding() {
    let desk = Desk::new();
    for (name, content, advice) in [
        (
            "latin.jsonl",
            &b"{\"title\":\"\xe9\"}\n"[..],
            "WINDOWS-1252",
        ),
        ("wide.jsonl", b"\xff\xfe{\0", "UTF-16"),
    ] {
        let path = desk.write(name, content);
        let to = path.with_extension("utf8.jsonl");
        let (path, to) = (path.display(), to.display());
        let advice = format!("hint: iconv -f {advice} -t UTF-8 {path} > {to}\n");
        check(&desk.import(name, &[]), 65, &[&advice]);
    }
}

#[test]
fn a_header_and_line_ends_as_spreadsheets_write_them() {
    let desk = Desk::new();
    desk.write("a.csv", "userName\na@x\n");
    check(&desk.import("a.csv", &[]), 0, &["1 created"]);
    for (name, content, status, words) in [
        (
            "blank",
            b"\n\r\nuserName;title\na@x;V\n".to_vec(),
            0,
            "1 updated",
        ),
        (
            "blank cells",
            b",,,,\r\n   \n\"\",\"\"\nuserName;title;nickName\na@x;W;\n".to_vec(),
            0,
            "1 updated",
        ),
        (
            "heading",
            b"\"E-\nMail\";\"Ti,t,le\"\na@x;V\n".to_vec(),
            65,
            "the column \"Ti,t,le\"",
        ),
        (
            "mac",
            b"userName;title\ra@x;a, b, c\r".to_vec(),
            0,
            "1 updated",
        ),
        (
            "long mac",
            [&b"userName;title\r"[..], &b"a@x;\xe9\r".repeat(30_000)].concat(),
            65,
            "long mac.csv:2: the text is not UTF-8",
        ),
    ] {
        let name = format!("{name}.csv");
        desk.write(&name, content);
        check(&desk.import(&name, &[]), status, &[words]);
    }
}

#[test]
fn oktas_own_export_goes_in() {
    let desk = Desk::new();
    let header = "login,firstName,lastName,middleName,honorificPrefix,honorificSuffix,email,title,\
        displayName,nickName,profileUrl,secondEmail,mobilePhone,primaryPhone,streetAddress,city,\
        state,zipCode,countryCode,postalAddress,preferredLanguage,locale,timezone,userType,\
        employeeNumber,costCenter,organization,division,department,managerId,manager,status";
    let row = "o@x,Olga,Orlova,,,,o@x,Boss,Olga O,,,,+7,,Street 1,Town,,123,RU,,,,,,17,,,,Ops,m1,Max,PROVISIONED";
    desk.write("okta.csv", format!("{header}\n{row}\n"));
    check(&desk.import("okta.csv", &[]), 0, &["1 created"]);
    let olga = desk.user("o@x");
    assert_eq!(olga["addresses"][0]["locality"], "Town");
    assert_eq!(
        olga["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]["manager"]["value"],
        "m1"
    );
}

/// Entra's ids look like ours but belong to nobody here.
#[test]
fn entras_list_is_imported_as_it_is() {
    let desk = Desk::new();
    let header = "userPrincipalName,displayName,surname,mail,givenName,id,userType,jobTitle,\
        department,accountEnabled,usageLocation,streetAddress,state,country,officeLocation,city,\
        postalCode,telephoneNumber,mobile,alternateEmailAddress,ageGroup,\
        consentProvidedForMinor,legalAgeGroupClassification,companyName,creationType,\
        directorySynced,invitationState,identityIssuer,createdDateTime";
    let row = "eva@x,Eva Ek,Ek,eva.ek@x,Eva,4f6d0a9e-1111-4222-8333-0123456789ab,Member,Boss,Sales,\
        False,SE,Road 1,Scania,Sweden,12/3,Lund,22100,+46 1,+46 2,me@y,,,,Firm,,True,,x.example,\
        2024-01-31T08:30:00Z";
    let title = |title: &str| row.replace("Boss", title);
    desk.write("entra.csv", format!("\u{feff}{header}\r\n{row}\r\n"));
    let told = [
        "1 created",
        "left out: id, usageLocation, officeLocation, alternateEmailAddress, ageGroup,",
    ];
    check(&desk.import("entra.csv", &[]), 0, &told);
    let eva = desk.user("eva@x");
    assert_eq!(eva["active"], false, "{eva}");
    assert_eq!(eva["emails"][0]["value"], "eva.ek@x", "{eva}");
    assert_eq!(eva["addresses"][0]["locality"], "Lund", "{eva}");
    assert_eq!(eva.get("externalId"), None, "{eva}");
    check(
        &desk.diff("entra.csv", &[]),
        0,
        &["left out: id,", "matches"],
    );
    // An older list has another name for the id. The row finds the same user.
    let older = header.replace(",id,", ",objectId,");
    desk.write("older.csv", format!("{older}\n{}\n", title("Chair")));
    check(
        &desk.import("older.csv", &[]),
        0,
        &["1 updated", ": objectId,"],
    );
    // Users can be named by their mail instead.
    let told = desk.import("entra.csv", &["--ignore", "userPrincipalName"]);
    check(&told, 0, &["1 created", "left out: id,"]);
    assert_eq!(desk.user("eva.ek@x")["title"], "Boss");
    // A column that is not Entra's is the only one to be told.
    desk.write("more.csv", format!("{header},Badge\n{row},7\n"));
    let told = desk.import("more.csv", &[]);
    check(&told, 65, &["--ignore=Badge leaves this one out"]);
    // In an export of our own, the id is that of the user here, and renames.
    let id = eva["id"].as_str().expect("an id");
    desk.write("ours.csv", format!("id,userName\n{id},eve@x\n"));
    let told = desk.import("ours.csv", &[]);
    check(&told, 0, &["1 updated"]);
    assert!(!told.stderr.contains("left out"), "{told:?}");
    assert_eq!(desk.user("eve@x")["id"], eva["id"]);
}
