//! Bits that flip in the file: what is read is what was written, or the command says that
//! the store is damaged and what to do. Never a wrong answer.

use std::fs;

use crate::support::{Talk, cli_in, number};

/// Redb's header: which of two roots counts, and both of them.
const HEADER_BYTES: usize = 320;

/// Flips `count` bits, one after the other: a third in the header, the rest spread over
/// what is not empty. How many were told.
fn flip(count: usize) -> usize {
    let mut talk = Talk::start(&["--rate-limit", "off"]);
    for number in 0..200 {
        talk.create(&format!("user{number}"));
    }
    let directory = talk.server.stop_and_keep();
    let path = directory.path().join("data/users.redb");
    let good = fs::read(&path).expect("the store");
    let commands: [&[&str]; 3] = [
        &["user", "list", "-o", "jsonl"],
        &["token", "list", "-o", "jsonl"],
        &["user", "show", "user150"],
    ];
    let wanted = commands.map(|command| cli_in(&directory, command).stdout);
    assert!(wanted.iter().all(|output| !output.is_empty()));
    fs::write(&path, &good).expect("written");
    let used: Vec<usize> = (HEADER_BYTES..good.len())
        .filter(|&at| good[at & !7..].iter().take(8).any(|byte| *byte != 0))
        .collect();
    let in_header = count / 3;
    let places = (0..in_header)
        .map(|number| number * HEADER_BYTES * 8 / in_header)
        .map(|bit| (bit / 8, bit % 8))
        .chain((0..count - in_header).map(|number| {
            let at = number * used.len() / (count - in_header);
            (used[at], number % 8)
        }));
    let mut told = 0;
    for (number, (at, bit)) in places.enumerate() {
        let mut bad = good.clone();
        bad[at] ^= 1 << bit;
        fs::write(&path, &bad).expect("written");
        let which = number % commands.len();
        let output = cli_in(&directory, commands[which]);
        let place = format!("bit {bit} of byte {at}");
        match output.status {
            Some(0) => assert!(output.stdout == wanted[which], "{place}: a wrong answer"),
            Some(65) => {
                told += 1;
                assert!(output.stdout.is_empty(), "{place}: an answer and an error");
                assert!(
                    output.stderr.contains("damaged") && output.stderr.contains("restore a backup"),
                    "{place}: {}",
                    output.stderr
                );
            }
            other => panic!("{place}: {other:?} {}", output.stderr),
        }
    }
    told
}

#[test]
fn bits_that_flip_are_told_or_do_no_harm() {
    let told = flip(60);
    println!("60 bits flipped, {told} told, no wrong answer");
    assert!(told > 10, "{told} of 60 lay in something that is read");
}

#[test]
#[ignore = "the long form: BIT_FLIPS bits, 10,000 if it is not set"]
fn many_bits_that_flip_are_told_or_do_no_harm() {
    let count = number("BIT_FLIPS", 10_000);
    let told = flip(count);
    println!("{count} bits flipped, {told} told, no wrong answer");
}
