use super::*;

const NOW: &str = "2026-11-22T12:00:00Z";
const AWARE: &str = "2026-11-22T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

fn ada() -> PersonId {
    "ada".parse().expect("an id")
}

fn claimed() -> Customers {
    [("Leeds".to_owned(), Some(24)), ("York".to_owned(), None)].into()
}

/// What somebody asks for who makes no mistake.
#[derive(Clone)]
struct Good {
    aware: &'static str,
    kinds: &'static [&'static str],
    roles: &'static [(Option<&'static str>, Role)],
    customers: &'static [&'static str],
    from: Option<&'static str>,
    what: &'static str,
}

const GOOD: Good = Good {
    aware: AWARE,
    kinds: &["personal-data"],
    roles: &[(None, Role::Controller)],
    customers: &[],
    from: None,
    what: "a laptop was stolen",
};

fn opening(good: &Good) -> Wish {
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
    let role = |(name, role): &(Option<&str>, Role)| (name.map(str::to_owned), *role);
    Wish::Open {
        by: ada(),
        aware: at(good.aware),
        kinds: texts(good.kinds),
        stage: Stage::Actual,
        roles: good.roles.iter().map(role).collect(),
        customers: texts(good.customers),
        from: good.from.map(str::to_owned),
        what: good.what.to_owned(),
    }
}

/// What turned out at eleven, of the incident 1.
const WIDER: Good = Good {
    aware: "2026-11-22T11:00:00Z",
    kinds: &[],
    roles: &[],
    customers: &[],
    from: None,
    what: "it is more",
};

fn widening(good: &Good) -> Wish {
    let Wish::Open { by, aware, kinds, roles, customers, what, .. } = opening(good) else {
        unreachable!("it opens")
    };
    Wish::Widen { number: 1, by, aware: Some(aware), kinds, roles, customers, what: Some(what) }
}

fn telling(number: u64, to: &[&str], at: Option<&str>, not_needed: Option<&str>) -> Wish {
    Wish::Told {
        number,
        to: to.iter().map(|to| (*to).to_owned()).collect(),
        by: ada(),
        at: at.map(self::at),
        not_needed: not_needed.map(str::to_owned),
    }
}

fn closing(number: u64, reason: &str) -> Wish {
    Wish::Close { number, by: ada(), reason: reason.to_owned() }
}

/// The state once these were drawn and recorded, one after another.
fn after(wishes: &[Wish]) -> State {
    let mut state = State::default();
    for (index, wish) in (0..).zip(wishes) {
        let drawn = draw(&state, wish, &claimed(), at(NOW));
        let (_, act) = drawn.unwrap_or_else(|wrong| panic!("{wish:?}: {wrong:?}"));
        let Act::Incident { number, said } = act else { unreachable!("it is of an incident") };
        state.incidents.say((index, at(NOW)), number, &ada(), &said);
    }
    state
}

#[test]
fn what_cannot_be_so_is_refused_all_at_once_with_what_was_expected() {
    let all = ["Leeds", "York", "ico", "dspt"];
    let first = opening(&GOOD);
    let over = [first.clone(), telling(1, &all, None, None), closing(1, "over")];
    let (none, open, closed) = (State::default(), after(&over[..1]), after(&over));
    let rows: &[(&State, Wish, &[&str], &str)] = &[
        (
            &none,
            opening(&Good { aware: "2026-11-22T12:00:01Z", ..GOOD }),
            &["in the future"],
            "aware later",
        ),
        (
            &none,
            opening(&Good { aware: "2025-11-01T12:00:00Z", ..GOOD }),
            &["typing error"],
            "long ago",
        ),
        (
            &none,
            opening(&Good { kinds: &["personal-dat"], ..GOOD }),
            &["did you mean `personal-data`?", "there are personal-data, nis"],
            "an unknown kind",
        ),
        (&none, opening(&Good { kinds: &[], ..GOOD }), &["one kind at least"], "no kind"),
        (
            &none,
            opening(&Good { roles: &[], ..GOOD }),
            &["say what you are to the data"],
            "no role",
        ),
        (
            &none,
            opening(&Good { kinds: &["nis"], ..GOOD }),
            &["--role is of personal data"],
            "a role where it says nothing",
        ),
        (
            &none,
            opening(&Good { roles: &[(None, Role::Controller), (None, Role::Processor)], ..GOOD }),
            &["\"data\" has two roles"],
            "two roles of one set of data",
        ),
        (
            &none,
            opening(&Good { roles: &[(Some(""), Role::Controller)], ..GOOD }),
            &["the name of a set of data"],
            "a set without a name",
        ),
        (
            &none,
            opening(&Good { customers: &["Leed"], ..GOOD }),
            &["names the customer \"Leed\"", "did you mean `Leeds`?"],
            "an unknown customer",
        ),
        (
            &none,
            opening(&Good { from: Some("Hull"), ..GOOD }),
            &["names the customer \"Hull\""],
            "told by nobody known",
        ),
        (&none, opening(&Good { what: " ", ..GOOD }), &["--what is 1 to 500"], "nothing happened"),
        (
            &none,
            opening(&Good { aware: "2026-11-23T00:00:00Z", kinds: &["x"], what: "", ..GOOD }),
            &["in the future", "no kind of incident", "--what"],
            "all at once",
        ),
        (
            &none,
            telling(1, &["ico"], None, None),
            &["there is no incident 1; none is open"],
            "none at all",
        ),
        (
            &open,
            telling(2, &["ico"], None, None),
            &["there is no incident 2; open are 1"],
            "another",
        ),
        (
            &open,
            telling(1, &["icu"], None, None),
            &["did you mean `ico`?"],
            "an unknown one to be told",
        ),
        (&open, telling(1, &[], None, None), &["say who was told"], "nobody"),
        (
            &open,
            telling(1, &["ico"], Some("2026-11-22T13:00:00Z"), None),
            &["in the future"],
            "told later",
        ),
        (
            &open,
            telling(1, &["ico"], Some("2026-11-22T08:59:59Z"), None),
            &["before anybody here was aware"],
            "told before it was known",
        ),
        (
            &open,
            telling(1, &["ico"], None, Some("")),
            &["--not-needed is 1 to 500"],
            "no reason why not",
        ),
        (
            &open,
            closing(1, "over"),
            &["must still be told of incident 1: York, Leeds, ico, dspt;"],
            "closed over the heads of those who must be told",
        ),
        (
            &after(&[first.clone(), telling(1, &all, None, None)]),
            closing(1, " "),
            &["--reason"],
            "no reason",
        ),
        (
            &after(&[first.clone(), telling(1, &["ico"], None, None)]),
            telling(1, &["ico"], None, None),
            &["\"ico\" was told, says ada since"],
            "told twice",
        ),
        (&closed, closing(1, "over"), &["incident 1 was closed by ada at"], "closed twice"),
        (
            &none,
            widening(&Good { kinds: &["nis"], ..WIDER }),
            &["there is no incident 1; none is open"],
            "none to widen",
        ),
        (
            &closed,
            widening(&Good { kinds: &["nis"], ..WIDER }),
            &["was closed by ada"],
            "widened when it is over",
        ),
        (&open, widening(&WIDER), &["as wide already: name a --kind"], "nothing more"),
        (
            &open,
            widening(&Good { kinds: &["personal-data"], customers: &["Leeds"], ..WIDER }),
            &["as wide already"],
            "what was known",
        ),
        (
            &open,
            widening(&Good { roles: &[(None, Role::Controller)], ..WIDER }),
            &["as wide already"],
            "data that was known",
        ),
        (
            &open,
            widening(&Good { roles: &[(None, Role::Processor)], ..WIDER }),
            &["\"data\" has two roles"],
            "another role of the same data",
        ),
        (
            &open,
            widening(&Good { aware: "2026-11-22T08:59:59Z", kinds: &["nis"], ..WIDER }),
            &["before anybody here was aware of the incident", "open another"],
            "known before the incident was",
        ),
        (
            &open,
            widening(&Good {
                aware: "2026-11-23T00:00:00Z",
                kinds: &["nsi"],
                customers: &["Leed"],
                what: " ",
                ..WIDER
            }),
            &[
                "in the future",
                "did you mean `nis`?",
                "did you mean `Leeds`?",
                "--what is 1 to 500",
            ],
            "all at once",
        ),
        (
            &after(&[opening(&Good { kinds: &["nis"], roles: &[], ..GOOD })]),
            widening(&Good { kinds: &["personal-data"], ..WIDER }),
            &["say what you are to the data"],
            "personal data without a role",
        ),
        (
            &after(&[opening(&Good { kinds: &["nis"], roles: &[], ..GOOD })]),
            widening(&Good { roles: &[(None, Role::Processor)], ..WIDER }),
            &["--role is of personal data"],
            "a role where it says nothing",
        ),
        (
            &closed,
            telling(1, &["people"], None, None),
            &["was closed by ada"],
            "told when it is over",
        ),
    ];
    for (state, wish, parts, why) in rows {
        let wrong = draw(state, wish, &claimed(), at(NOW)).expect_err(why).join("; ");
        assert!(parts.iter().all(|part| wrong.contains(part)), "{why}: {wrong}");
    }
    println!("{} things refused", rows.len());
}

#[test]
fn too_many_open_ones_are_refused() {
    let state = after(&vec![opening(&GOOD); OPEN_MAX]);
    let wrong = draw(&state, &opening(&GOOD), &claimed(), at(NOW)).expect_err("one too many");
    assert_eq!(wrong, ["50 incidents are open already; close some first"]);
}

#[test]
fn whom_it_touches_and_who_told_us_decide_whom_we_tell() {
    let to = |good: &Good| {
        let state = after(&[opening(good)]);
        let duties = state.incidents.all[&1].opened.duties.clone();
        let one = |duty: &Duty| {
            let done = duty.done.as_ref().map(|done| done.not_needed.clone().unwrap_or_default());
            (duty.to.clone(), done.unwrap_or_default())
        };
        duties.iter().map(one).filter(|(to, _)| claimed().contains_key(to)).collect::<Vec<_>>()
    };
    let pair = |name: &str, done: &str| (name.to_owned(), done.to_owned());
    assert_eq!(
        to(&GOOD),
        [pair("York", ""), pair("Leeds", "")],
        "all customers, the first due first"
    );
    assert_eq!(to(&Good { customers: &["Leeds"], ..GOOD }), [pair("Leeds", "")], "those named");
    let told_us = Good { customers: &["Leeds"], from: Some("York"), ..GOOD };
    assert_eq!(
        to(&told_us),
        [pair("York", "they told us"), pair("Leeds", "")],
        "who told us knows (S3 clause 4: either party)"
    );
}

/// Each who is to be told: by when, since when that is known where it was later, and whether they were.
fn stand(wishes: &[Wish]) -> Vec<String> {
    let line = |duty: &Duty| {
        let due = duty.due.map_or("advised".to_owned(), |due| due.to_string());
        let later = duty.aware.map_or(String::new(), |aware| format!(" since {aware}"));
        format!("{} {due}{later}{}", duty.to, if duty.done.is_some() { " done" } else { "" })
    };
    after(wishes).incidents.all[&1].opened.duties.iter().map(line).collect()
}

#[test]
fn what_turns_out_later_has_its_own_clock_and_what_was_drawn_up_keeps_its() {
    let first = opening(&Good { customers: &["Leeds"], ..GOOD });
    let wider = widening(&Good { kinds: &["nis"], customers: &["York"], ..WIDER });
    assert_eq!(
        stand(&[first.clone(), wider]),
        [
            "York 2026-11-22T12:00:00Z since 2026-11-22T11:00:00Z",
            "Leeds 2026-11-23T09:00:00Z",
            "ico 2026-11-25T09:00:00Z",
            "dspt 2026-11-25T09:00:00Z",
            "ico-nis 2026-11-25T11:00:00Z since 2026-11-22T11:00:00Z",
            "people advised",
            "ncsc advised since 2026-11-22T11:00:00Z",
        ]
    );
    let processor = || widening(&Good { roles: &[(Some("x"), Role::Processor)], ..WIDER });
    let leeds = |wishes: &[Wish]| -> Vec<String> {
        stand(wishes).into_iter().filter(|line| line.starts_with("Leeds")).collect()
    };
    assert_eq!(
        leeds(&[first.clone(), processor()]),
        ["Leeds 2026-11-23T09:00:00Z"],
        "one telling serves both rules, by the sooner end"
    );
    assert_eq!(
        leeds(&[first, telling(1, &["Leeds"], None, None), processor()]),
        [
            "Leeds 2026-11-23T09:00:00Z done",
            "Leeds 2026-11-23T11:00:00Z since 2026-11-22T11:00:00Z"
        ],
        "who was told is told again, by another rule"
    );
    let device = Good { kinds: &["device"], roles: &[], ..GOOD };
    let worse = widening(&Good { kinds: &["device-public-health"], ..WIDER });
    let mhra = stand(&[opening(&device), worse]);
    assert!(
        mhra.contains(&"mhra 2026-11-25T00:00:00Z since 2026-11-22T11:00:00Z".to_owned()),
        "a sooner end counts: {mhra:?}"
    );
}

#[test]
fn it_is_closed_when_those_were_told_who_came_later() {
    let mut wishes = vec![
        opening(&Good { kinds: &["complaint"], roles: &[], ..GOOD }),
        telling(1, &["complainant"], None, None),
    ];
    assert_eq!(say(&after(&wishes), 1), "incident 1 is open: everybody who must be told was");
    wishes.push(widening(&Good { kinds: &["security"], ..WIDER }));
    let said = say(&after(&wishes), 1);
    assert!(said.contains("2 must still be told, York first"), "all customers: {said}");
    let refused = draw(&after(&wishes), &closing(1, "over"), &claimed(), at(NOW));
    assert!(refused.expect_err("two are left")[0].contains("York, Leeds"));
    wishes.push(telling(1, &["York", "Leeds"], None, None));
    wishes.push(closing(1, "over"));
    assert_eq!(say(&after(&wishes), 1), "incident 1 is closed by ada");
}

#[test]
fn an_incident_is_widened_so_often_and_no_more() {
    let mut all: Vec<(String, Option<u32>)> = (0..40).map(|n| (format!("C{n:02}"), None)).collect();
    all.extend(claimed());
    let claimed: Customers = all.into_iter().collect();
    let mut state = after(&[opening(&Good { customers: &["Leeds"], ..GOOD })]);
    let mut refused = None;
    for n in 0..40 {
        let Wish::Widen { by, aware, .. } = widening(&WIDER) else { unreachable!("it widens") };
        let (customers, kinds, roles) = (vec![format!("C{n:02}")], Vec::new(), Vec::new());
        let wish = Wish::Widen { number: 1, by, aware, kinds, roles, customers, what: None };
        match draw(&state, &wish, &claimed, at(NOW)) {
            Ok((_, Act::Incident { number, said })) => {
                state.incidents.say((n, at(NOW)), number, &ada(), &said);
            }
            Ok(other) => panic!("{other:?}"),
            Err(wrong) => refused = refused.or(Some((n, wrong.join("; ")))),
        }
    }
    let (times, why) = refused.expect("it has a limit");
    assert!(times == 30 && why.contains("widened 30 times at most"), "{times}: {why}");
}

#[test]
fn it_is_said_who_is_next_and_when_nobody_is() {
    let mut wishes = vec![opening(&GOOD)];
    let said = |wishes: &[Wish]| say(&after(wishes), 1);
    assert_eq!(
        said(&wishes),
        "incident 1 is open: 4 must still be told, York first, by Sun 22 Nov 2026 10:00 GMT"
    );
    wishes.push(telling(1, &["Leeds", "York", "dspt"], None, None));
    assert!(
        said(&wishes).contains("1 must still be told, ico first, by Wed 25 Nov 2026 09:00 GMT")
    );
    wishes.push(telling(1, &["ico"], None, Some("the disk was encrypted")));
    assert_eq!(said(&wishes), "incident 1 is open: everybody who must be told was");
    wishes.push(closing(1, "the laptop was wiped"));
    assert_eq!(said(&wishes), "incident 1 is closed by ada");
}
