//! Allow-alls: those that void a default deny, those that make other rules useless, those that stand alone.

use ringfence_k8s::Level;
use ringfence_policy::{Direction, Peers, Ports, Rule};

use crate::code;
use crate::context::Context;
use crate::finding::Finding;
use crate::view::PolicyView;

/// Rules that allow everything from everybody.
pub(crate) fn allow_alls(context: &Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for view in &context.policies {
        for direction in Direction::ALL {
            let Some(rule) = view.rules(direction).iter().position(is_allow_all) else { continue };
            findings.push(judge(context, view, direction, rule));
        }
    }
    findings
}

fn judge(context: &Context<'_>, view: &PolicyView<'_>, direction: Direction, rule: usize) -> Finding {
    let others = || {
        context
            .policies
            .iter()
            .filter(|o| o.namespace() == view.namespace() && o.policy.name != view.policy.name)
    };
    let word = direction.as_str();
    let finding = |code, message: String| {
        Finding::new(code, message)
            .about(view.object())
            .at(context.place(view.rule_span(direction, rule)))
            .help("if that is meant, suppress this with the reason; else name the peers and ports")
    };
    let denies = || others().filter(|o| o.denies_all(direction));
    if let Some(deny) = denies().find(|o| covers(view, o)) {
        return finding(
            &code::RF060,
            format!("this allows all {word}, and voids the default deny `{}`", deny.policy.name.name),
        )
        .because("policies add up: where one allows everything, no other can take it back")
        .related(context.place(deny.name_span()), "the default deny");
    }
    let useless = others().filter(|o| covers(view, o) && !o.subjects.is_empty()).find_map(|o| {
        let rule = o.rules(direction).iter().position(|r| !is_allow_all(r))?;
        o.rule_span(direction, rule)
    });
    let own = view.rules(direction).iter().position(|r| !is_allow_all(r));
    let useless = own.and_then(|r| view.rule_span(direction, r)).or(useless);
    if let Some(useless) = useless {
        return finding(
            &code::RF061,
            format!("this allows all {word}, so that other rules for these pods mean nothing"),
        )
        .because("rules add up: beside one that allows everything the others have no effect")
        .related(context.place(Some(useless)), "this rule has no effect");
    }
    let meets = |o: &&PolicyView<'_>| o.subjects.iter().any(|p| view.subjects.contains(p));
    match denies().find(meets) {
        Some(deny) => finding(
            &code::RF060,
            format!(
                "this allows all {word} to its pods in spite of the default deny `{}`",
                deny.policy.name.name
            ),
        )
        .because("policies add up: for these pods the default deny has no effect")
        .related(context.place(deny.name_span()), "the default deny")
        .level(Level::Note),
        None => finding(&code::RF061, format!("this allows all {word}, as if there were no policy for it"))
            .because("a rule without peers and ports matches everything")
            .level(Level::Note),
    }
}

/// Whether one policy holds every pod that another does.
fn covers(view: &PolicyView<'_>, other: &PolicyView<'_>) -> bool {
    view.policy.subject.is_everything()
        || view.policy.subject == other.policy.subject
        || !other.policy.subject.is_everything()
            && !other.subjects.is_empty()
            && other.subjects.iter().all(|p| view.subjects.contains(p))
}

/// Whether a rule is for everybody and everything.
pub(crate) fn is_allow_all(rule: &Rule) -> bool {
    rule.peers == Peers::Any && rule.ports == Ports::Any
}
