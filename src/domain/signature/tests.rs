//! The published examples, the limits, and texts that only look like signatures.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &[u8] = b"msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIME: i64 = 1_614_265_330;
const SIGNATURE: &[u8] = b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const BODY: &[u8] = br#"{"test": 2432232314}"#;

const STRIPE_SECRET: &str = "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH";
const STRIPE_TIME: i64 = 1_700_000_000;
const STRIPE_BODY: &[u8] = br#"{"id":"evt_1","type":"payment_intent.succeeded"}"#;
/// Made with `openssl dgst -sha256 -hmac`.
const STRIPE_SIGNATURE: &str = "1adb0c9721e531841542db8a9efee16d244ee846cbfdd24beb058fa4136fe6bd";

fn secrets(list: &str) -> Secrets {
    Secrets::standard(list).expect("secrets")
}

fn verify(id: &[u8], timestamp: &[u8], signatures: &[u8], now: i64) -> Result<(), SignatureError> {
    Standard { id, timestamp, signatures }.verify(&secrets(SECRET), BODY, now).map(drop)
}

fn stripe(header: &str, now: i64) -> Result<(), SignatureError> {
    verify_stripe(header.as_bytes(), &Secrets::stripe(STRIPE_SECRET).expect("a secret"), STRIPE_BODY, now)
}

#[test]
fn the_published_examples_are_accepted() {
    assert_eq!(verify(ID, b"1614265330", SIGNATURE, TIME), Ok(()));
    let other = Standard {
        id: b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        timestamp: b"1649367553",
        signatures: b"v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    };
    let body = br#"{"email":"test@example.com","username":"test_user"}"#;
    let known = secrets("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    assert_eq!(other.verify(&known, body, 1_649_367_553), Ok("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"));
    assert_eq!(other.verify(&secrets(SECRET), body, 1_649_367_553), Err(SignatureError::DoesNotFit));
}

#[test]
fn a_message_is_accepted_for_five_minutes_and_not_a_second_longer() {
    for (now, believed) in [
        (TIME - 300, Ok(())),
        (TIME + 300, Ok(())),
        (TIME - 301, Err(SignatureError::TooNew)),
        (TIME + 301, Err(SignatureError::TooOld)),
        (i64::MIN, Err(SignatureError::TooNew)),
        (i64::MAX, Err(SignatureError::TooOld)),
    ] {
        assert_eq!(verify(ID, b"1614265330", SIGNATURE, now), believed, "{now}");
    }
}

#[test]
fn a_malformed_time_is_rejected() {
    let unreadable = [
        "",
        "-1",
        "+1614265330",
        "01614265330",
        "00",
        " 1614265330",
        "1614265330 ",
        "1614265330.0",
        "1614265330.",
        "1e9",
        "0x60",
        "１６",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999999999999999999",
        "١",
        "\0",
    ];
    for text in unreadable {
        for now in [i64::MIN, 0, TIME, i64::MAX] {
            assert_eq!(verify(ID, text.as_bytes(), SIGNATURE, now), Err(SignatureError::Time), "{text} {now}");
            assert_eq!(stripe(&format!("t={text}x,v1={STRIPE_SIGNATURE}"), now), Err(SignatureError::Time), "{text}");
        }
    }
    assert_eq!(verify(ID, b"\xff", SIGNATURE, TIME), Err(SignatureError::Time));
    assert_eq!(verify(ID, b"0", SIGNATURE, TIME), Err(SignatureError::TooOld));
    assert_eq!(verify(ID, b"9223372036854775807", SIGNATURE, i64::MIN), Err(SignatureError::TooNew));
    assert_eq!(verify(ID, b"9223372036854775807", SIGNATURE, i64::MAX), Err(SignatureError::DoesNotFit));
}

#[test]
fn one_signature_of_many_is_enough_and_other_versions_do_not_count() {
    let right = std::str::from_utf8(SIGNATURE).expect("text");
    let wrong = format!("v1,{}", STANDARD.encode([7; 32]));
    let list = |before: usize, after: usize| {
        let parts = std::iter::repeat_n(wrong.as_str(), before).chain([right]);
        parts.chain(std::iter::repeat_n(wrong.as_str(), after)).collect::<Vec<_>>().join(" ")
    };
    for (before, after) in [(0, 9), (9, 0), (5, 4), (SIGNATURES - 1, 0)] {
        assert_eq!(verify(ID, b"1614265330", list(before, after).as_bytes(), TIME), Ok(()), "{before} {after}");
    }
    let versioned = format!("v1a,{}  v2,x v0 , {right} ", STANDARD.encode([7; 64]));
    assert_eq!(verify(ID, b"1614265330", versioned.as_bytes(), TIME), Ok(()));

    let bare = right.trim_start_matches("v1,");
    let refused = [
        String::new(),
        " ".to_owned(),
        bare.to_owned(),
        "v1,".to_owned(),
        "v1".to_owned(),
        format!("v1a,{bare}"),
        format!("v2,{bare}"),
        format!("V1,{bare}"),
        format!("v1={bare}"),
        format!("v1, {bare}"),
        format!("\t{right}"),
        right.trim_end_matches('=').to_owned(),
        format!("{right}="),
        right.replace('+', "-"),
        right[..20].to_owned(),
        wrong.clone(),
        list(SIGNATURES, 0),
        list(0, 200),
    ];
    for signatures in refused {
        let outcome = verify(ID, b"1614265330", signatures.as_bytes(), TIME);
        assert_eq!(outcome, Err(SignatureError::DoesNotFit), "{signatures}");
    }
}

#[test]
fn a_signed_message_cannot_be_split_elsewhere() {
    let body = br#"1614265330.{"test": 2432232314}"#;
    let cut = Standard { id: ID, timestamp: b"1614265330", signatures: SIGNATURE };
    assert_eq!(cut.verify(&secrets(SECRET), body, TIME), Err(SignatureError::DoesNotFit));
    for id in [&b""[..], b"a.b", b".", b"a b", b"a\tb", "ä".as_bytes(), b"\xff", b"\x7f", &[b'a'; 256]] {
        assert_eq!(verify(id, b"1614265330", SIGNATURE, TIME), Err(SignatureError::Id), "{id:?}");
    }
}

#[test]
fn stripe_signs_with_the_characters_of_its_secret() {
    let right = format!("v1={STRIPE_SIGNATURE}");
    let wrong = format!("v1={}", "0".repeat(64));
    let many = [wrong.as_str(); 9].join(",");
    for header in [
        format!("t=1700000000,{right}"),
        format!("{right},t=1700000000"),
        format!("t=1700000000, {right}, v0=6ffb"),
        format!("t=1700000000,{wrong},{right},{wrong}"),
        format!("t=1700000000,{many},{right}"),
    ] {
        assert_eq!(stripe(&header, STRIPE_TIME), Ok(()), "{header}");
        assert_eq!(stripe(&header, STRIPE_TIME + 300), Ok(()), "{header}");
        assert_eq!(stripe(&header, STRIPE_TIME + 301), Err(SignatureError::TooOld), "{header}");
    }
    for (header, reason) in [
        (String::new(), SignatureError::Missing),
        (right.clone(), SignatureError::Missing),
        (format!("t=1700000000,t=1700000000,{right}"), SignatureError::Missing),
        (format!("t=1700000000,t=1600000000,{right}"), SignatureError::Missing),
        ("t=1700000000".to_owned(), SignatureError::DoesNotFit),
        (format!("t=1700000001,{right}"), SignatureError::DoesNotFit),
        (format!("t=1700000000,{wrong}"), SignatureError::DoesNotFit),
        (format!("t=1700000000,v0={STRIPE_SIGNATURE}"), SignatureError::DoesNotFit),
        (format!("t=1700000000,v1={}", STRIPE_SIGNATURE.to_uppercase()), SignatureError::DoesNotFit),
        (format!("t=1700000000,{right}0"), SignatureError::DoesNotFit),
        (format!("t=1700000000,{}", &right[..66]), SignatureError::DoesNotFit),
        (format!("t=1700000000;{right}"), SignatureError::Time),
        (format!("t=1700000000,{right},x={}", "x".repeat(HEADER_BYTES)), SignatureError::DoesNotFit),
    ] {
        assert_eq!(stripe(&header, STRIPE_TIME), Err(reason), "{header}");
    }
}

#[test]
fn every_problem_of_secrets_is_reported_and_no_secret_is_shown() {
    let of_bytes = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
    for list in [of_bytes(24), of_bytes(64), format!(" {} , {}", of_bytes(32), of_bytes(25))] {
        assert!(Secrets::standard(&list).is_ok(), "{list}");
    }
    let list = format!("MfKQ9r8GKYqrTwjUPD8I,,whsec_?,{},whsec_,off,{}", of_bytes(23), of_bytes(65));
    let problems = Secrets::standard(&list).expect_err("all of them are wrong");
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "secret 1 of 7 does not begin with `whsec_`",
            "secret 2 of 7 is empty",
            "secret 3 of 7 is not `whsec_` and standard base64 with its padding",
            "secret 4 of 7 decodes to 23 bytes instead of 24 to 64",
            "secret 5 of 7 decodes to 0 bytes instead of 24 to 64",
            "secret 6 of 7 does not begin with `whsec_`",
            "secret 7 of 7 decodes to 65 bytes instead of 24 to 64",
        ]
    );
    assert!(Secrets::standard(&[of_bytes(32).as_str(); SECRETS].join(",")).is_ok());
    assert!(Secrets::standard(&[of_bytes(32).as_str(); SECRETS + 1].join(",")).is_err());
    assert!(Secrets::stripe("").is_err() && Secrets::stripe("a,").is_err());
    assert_eq!(format!("{:?}", secrets(SECRET)), "1 secrets");
}
