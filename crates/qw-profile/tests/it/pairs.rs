//! The labelled pairs: is one path or flag another name of the same, or something else?

use qw_profile::{Options, comparable_flag, comparable_path, similarity};

/// `same` or `different`, type, two texts, where the pair comes from.
const PAIRS: &str = include_str!("../pairs.tsv");

struct Pair<'a> {
    is_same: bool,
    similarity: f32,
    text: &'a str,
}

fn pairs() -> Vec<Pair<'static>> {
    PAIRS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [label, kind, a, b, _origin] = columns.as_slice() else {
                panic!("five columns are wanted: {line}");
            };
            let is_same = match *label {
                "same" => true,
                "different" => false,
                other => panic!("label {other}: {line}"),
            };
            let similarity = match *kind {
                "path" => path_similarity(a, b),
                "flag" => similarity(&comparable_flag(a), &comparable_flag(b)),
                other => panic!("type {other}: {line}"),
            };
            Pair {
                is_same,
                similarity,
                text: line,
            }
        })
        .collect()
}

/// As a profile compares: what gives access to something is the same only to the letter.
fn path_similarity(a: &str, b: &str) -> f32 {
    let (a, b) = (comparable_path(a), comparable_path(b));
    if a != b && (qw_profile::is_sensitive(&a) || qw_profile::is_sensitive(&b)) {
        return 0.0;
    }
    similarity(&a, &b)
}

/// Of the pairs held to be the same, the share that is; of the same ones, the share that was found.
fn precision_and_recall(pairs: &[Pair<'_>], threshold: f32) -> (f64, f64) {
    let count =
        |taken: &dyn Fn(&Pair<'_>) -> bool| pairs.iter().filter(|pair| taken(pair)).count() as f64;
    let found = count(&|pair| pair.similarity >= threshold);
    let right = count(&|pair| pair.similarity >= threshold && pair.is_same);
    (
        right / found.max(1.0),
        right / count(&|pair| pair.is_same).max(1.0),
    )
}

#[test]
fn the_threshold_is_right_for_the_labelled_pairs() {
    let pairs = pairs();
    let same = pairs.iter().filter(|pair| pair.is_same).count();
    assert!(
        same >= 150 && pairs.len() - same >= 150,
        "{same} of {}",
        pairs.len()
    );
    let mut figures = format!(
        "{} pairs, {same} of them the same\n\nthreshold  precision  recall\n",
        pairs.len()
    );
    for percent in (50..=95).step_by(5) {
        let threshold = percent as f32 / 100.0;
        let (precision, recall) = precision_and_recall(&pairs, threshold);
        figures.push_str(&format!(
            "{threshold:.2}       {precision:.3}      {recall:.3}\n"
        ));
    }
    let threshold = Options::default().threshold;
    let (precision, recall) = precision_and_recall(&pairs, threshold);
    let mut wrong: Vec<&Pair<'_>> = pairs
        .iter()
        .filter(|pair| (pair.similarity >= threshold) != pair.is_same)
        .collect();
    wrong.sort_by(|a, b| a.similarity.total_cmp(&b.similarity));
    figures.push_str(&format!("\nwrong at {threshold:.2}:\n"));
    for pair in wrong {
        figures.push_str(&format!("{:.2}  {}\n", pair.similarity, pair.text));
    }
    expect_test::expect_file!["../pairs-figures.txt"].assert_eq(&figures);
    assert!(precision >= 0.97 && recall >= 0.90, "{precision} {recall}");
}
