//! From samples to sentences.

use crate::{
    Test,
    report::{
        findings::{beyond_noise, finding, thousands, time},
        plan::{Group, SCENARIOS},
        stats::{Comparison, Faster, Figure, crossovers, geometric_mean, quorum, stretches},
    },
};
use asyncore::Scan;

pub(crate) const TESTS: &[Test] = &[
    ("median_and_spread", median_and_spread),
    ("faster_takes_nine_rounds_of_ten_and_three_percent", faster_takes_nine_rounds_of_ten),
    ("a_single_undecided_size_ends_no_stretch", a_single_undecided_size_ends_no_stretch),
    ("a_crossover_is_where_the_medians_cross", a_crossover_is_where_the_medians_cross),
    ("noise_is_no_crossover", noise_is_no_crossover),
    ("findings_in_words", findings_in_words),
    ("what_is_within_the_noise_counts_as_equal", what_is_within_the_noise_counts_as_equal),
    ("each_pass_is_one_call_but_for_the_group_of_the_default", each_pass_is_one_call),
    ("a_ratio_and_its_inverse_cancel_out", a_ratio_and_its_inverse_cancel_out),
    ("numbers_read_well", numbers_read_well),
];

fn median_and_spread() {
    let figure = Figure::of([3.0, 1.0, 10.0]);
    assert_eq!((figure.median, figure.least, figure.most), (3.0, 1.0, 10.0));
    assert_eq!(Figure::of([4.0, 1.0, 10.0, 2.0]).median, 3.0);
    assert_eq!(Figure::of([5.0, 1.0, 4.0, 2.0, 3.0]).quartiles, [2.0, 4.0]);
    assert_eq!(Figure::of([1.0, 2.0]).quartiles, [1.25, 1.75]);
    assert_eq!(
        Figure::of([7.0]),
        Figure { median: 7.0, least: 7.0, most: 7.0, quartiles: [7.0; 2] }
    );
}

fn faster_takes_nine_rounds_of_ten() {
    assert_eq!([1, 7, 9, 10, 11, 20].map(quorum), [1, 7, 9, 9, 10, 18]);
    let faster = |ratios: &[f64]| Comparison::of(ratios).faster;
    assert_eq!(faster(&[1.1; 7]), Faster::Poll);
    assert_eq!(faster(&[0.9; 7]), Faster::Select);
    // However sure it is, 2 % are nothing.
    assert_eq!(faster(&[1.02; 7]), Faster::Neither);
    assert_eq!(faster(&[0.98; 7]), Faster::Neither);
    let with_dissent = |rounds, dissenters, others: f64| {
        let mut ratios = vec![others; rounds];
        ratios[..dissenters].fill(1.0 / others);
        faster(&ratios)
    };
    assert_eq!(with_dissent(7, 1, 1.5), Faster::Neither);
    assert_eq!(with_dissent(11, 1, 1.5), Faster::Poll);
    assert_eq!(with_dissent(11, 1, 0.5), Faster::Select);
    assert_eq!(with_dissent(11, 2, 1.5), Faster::Neither);
}

/// Sizes with ratios: `"?"` behind a ratio is one that the rounds do not agree on.
fn points(of: &[(usize, &str)]) -> Vec<(usize, Comparison)> {
    let point = |(size, ratio): &(usize, &str)| {
        let undecided = ratio.ends_with('?');
        let ratio: f64 = ratio.trim_end_matches('?').parse().unwrap();
        let ratios = if undecided { [0.5, ratio, 2.0] } else { [ratio; 3] };
        (*size, Comparison::of(&ratios))
    };
    of.iter().map(point).collect()
}

fn a_single_undecided_size_ends_no_stretch() {
    let found = |of| {
        let stretches = stretches(&points(of)).into_iter();
        stretches.map(|one| (one.faster, one.from, one.to, one.ratios)).collect::<Vec<_>>()
    };
    assert_eq!(
        found(&[(10, "1.5"), (20, "1.01?"), (50, "1.2"), (100, "1"), (200, "0.8")]),
        [
            (Faster::Poll, 10, 50, (1.2, 1.5)),
            (Faster::Neither, 100, 100, (1.0, 1.0)),
            (Faster::Select, 200, 200, (0.8, 0.8)),
        ]
    );
    // Two do; and one at an end belongs to nobody.
    assert_eq!(
        found(&[(10, "1.5"), (20, "1?"), (50, "1?"), (100, "1.5"), (200, "1.3?")]),
        [
            (Faster::Poll, 10, 10, (1.5, 1.5)),
            (Faster::Neither, 20, 50, (1.0, 1.0)),
            (Faster::Poll, 100, 100, (1.5, 1.5)),
            (Faster::Neither, 200, 200, (1.3, 1.3)),
        ]
    );
    assert_eq!(found(&[]), []);
}

#[track_caller]
fn assert_near(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-9, "{value} is not {expected}");
}

fn a_crossover_is_where_the_medians_cross() {
    // From 2 to 1/2 in two decades: through 1 after one.
    let [found] = *crossovers(&points(&[(10, "2"), (1000, "0.5")])) else { panic!() };
    assert_eq!((found.below, found.above), (Faster::Poll, Faster::Select));
    assert_eq!(found.between, (10, 1000));
    assert_near(found.at, 100.0);
    // The other way round, and with an undecided size in between.
    let [found] = *crossovers(&points(&[(10, "0.5"), (100, "0.8?"), (10_000, "1.25")])) else {
        panic!()
    };
    assert_eq!((found.below, found.above), (Faster::Select, Faster::Poll));
    assert_eq!(found.between, (10, 10_000));
    assert_near(found.at, 1000.0);
    // Undecided, and exactly 1.
    let [found] = *crossovers(&points(&[(10, "2"), (40, "1"), (90, "0.9")])) else { panic!() };
    assert_near(found.at, 40.0);
    // There and back.
    let both = crossovers(&points(&[(10, "2"), (40, "0.5"), (160, "2")]));
    assert_eq!(both.iter().map(|one| one.at.round()).collect::<Vec<_>>(), [20.0, 80.0]);
}

fn noise_is_no_crossover() {
    assert_eq!(crossovers(&points(&[(10, "1.2"), (20, "0.8?"), (50, "0.7?")])), []);
    assert_eq!(crossovers(&points(&[(10, "1.5"), (20, "0.9?"), (50, "1.5")])), []);
    assert_eq!(crossovers(&points(&[(10, "1.02"), (20, "0.98")])), []);
    assert_eq!(crossovers(&[]), []);
}

fn findings_in_words() {
    let words = |of| finding(&points(of)).replace('\u{a0}', " ");
    assert_eq!(words(&[(10, "1"), (20, "1.5?")]), "no difference beyond the noise at every size");
    assert_eq!(
        words(&[(10, "0.8"), (20, "0.5")]),
        "select is faster at every size (poll takes 25 to 100 % more)"
    );
    assert_eq!(
        words(&[(10, "1.25"), (100, "1.1"), (1000, "1"), (10_000, "1")]),
        "poll is faster up to 100 (select takes 10 to 25 % more); \
         no difference beyond the noise from 1000 on"
    );
    assert_eq!(
        words(&[(10, "2"), (100, "1"), (1000, "0.5"), (15_000, "0.8")]),
        "poll below about 100, select above; poll is faster at 10 (select takes 100 % more); \
         no difference beyond the noise at 100; \
         select is faster from 1000 on (poll takes 25 to 100 % more)"
    );
    assert_eq!(words(&[]), "");
}

fn what_is_within_the_noise_counts_as_equal() {
    let of = |ratios: &[f64]| beyond_noise(&Comparison::of(ratios));
    assert_eq!(of(&[0.5, 1.4, 2.0]), 1.0);
    assert_eq!(of(&[1.3, 1.4, 2.0]), 1.4);
}

fn each_pass_is_one_call() {
    for scenario in SCENARIOS {
        let expected =
            if scenario.group == Group::DefaultScan { Scan::default() } else { Scan::Plain };
        assert_eq!(scenario.scan(), expected, "{}", scenario.id);
    }
}

fn a_ratio_and_its_inverse_cancel_out() {
    assert_near(geometric_mean([4.0, 0.25, 1.0]).unwrap(), 1.0);
    assert_near(geometric_mean([2.0, 8.0]).unwrap(), 4.0);
    assert_eq!(geometric_mean([]), None);
}

fn numbers_read_well() {
    assert_eq!(
        [10, 1000, 10_000, 15_007].map(thousands),
        ["10", "1000", "10\u{a0}000", "15\u{a0}007"]
    );
    assert_eq!(
        [0.4, 812.3, 1234.0, 56_780.0, 123_400.0, 7.5e6].map(time),
        ["0 ns", "812 ns", "1.23 µs", "56.8 µs", "123 µs", "7.50 ms"]
    );
}
