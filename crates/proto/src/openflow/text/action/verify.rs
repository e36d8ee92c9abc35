//! What must be true of a list of actions by itself: the order of its instructions, and what may lie within what.

use super::super::super::action::Action;
use super::super::super::field::FieldId;
use super::super::error::{Parsed, Problem, TextError};
use super::super::piece::Piece;

/// The action that a list lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Outer {
    /// None: it is a flow's, a bucket's or a packet-out's.
    None,
    /// The arguments of `exec` in `ct`.
    Ct,
    /// `clone`.
    Clone,
    /// `write_actions`.
    WriteActions,
}

impl Outer {
    const fn name(self) -> &'static str {
        match self {
            Outer::None => "",
            Outer::Ct => "ct",
            Outer::Clone => "clone",
            Outer::WriteActions => "write_actions",
        }
    }
}

/// The instruction that an action is or belongs to, in the order in which they are carried out.
fn instruction(action: &Action) -> (u8, &'static str) {
    match action {
        Action::Meter(_) => (0, "meter"),
        Action::ClearActions => (2, "clear_actions"),
        Action::WriteActions(_) => (3, "write_actions"),
        Action::WriteMetadata { .. } => (4, "write_metadata"),
        Action::GotoTable(_) => (5, "goto_table"),
        _ => (1, "apply_actions"),
    }
}

/// The field that an action changes, where its form names one.
fn changed(action: &Action) -> Option<FieldId> {
    match action {
        Action::SetField(set) => Some(set.field),
        Action::Load { target, .. } | Action::Move { target, .. } => Some(target.field),
        _ => None,
    }
}

/// Checks a list. `places` are the words of the actions.
pub(super) fn verify(
    actions: &[Action],
    places: &[Piece<'_>],
    whole: Piece<'_>,
    instructions: bool,
    outer: Outer,
) -> Parsed<()> {
    let place = |index: usize| places.get(index).copied().unwrap_or(whole);
    let mut before = (0, "meter");
    for (index, action) in actions.iter().enumerate() {
        if matches!(action, Action::Conjunction { .. }) {
            return only_conjunctions(actions, places, whole);
        }
        nested(action, place(index), outer)?;
        let next = instruction(action);
        let in_order = if before.0 == 1 { next.0 >= before.0 } else { next.0 > before.0 };
        if index > 0 && !in_order {
            let wording = if next.0 == before.0 {
                format!("duplicate {} instruction not allowed, for OpenFlow 1.1+ compatibility", next.1)
            } else {
                format!(
                    "invalid instruction ordering: {} must appear before {}, for OpenFlow 1.1+ compatibility",
                    next.1, before.1
                )
            };
            return Err(TextError::new(place(index), Problem::NotAllowed, wording));
        }
        if !instructions && next.0 > 1 {
            let wording = format!("{} instruction not allowed here", next.1);
            return Err(TextError::new(place(index), Problem::NotAllowed, wording).expecting("actions"));
        }
        before = next;
    }
    Ok(())
}

fn only_conjunctions(actions: &[Action], places: &[Piece<'_>], whole: Piece<'_>) -> Parsed<()> {
    let other =
        actions.iter().position(|action| !matches!(action, Action::Conjunction { .. } | Action::Note(_)));
    let Some(index) = other else { return Ok(()) };
    let wording = format!(
        "\"conjunction\" actions may be used along with \"note\" but not any other kind of action (such as the \"{}\" \
         action used here)",
        super::print::word(&actions[index])
    );
    Err(TextError::new(places.get(index).copied().unwrap_or(whole), Problem::NotAllowed, wording))
}

fn nested(action: &Action, place: Piece<'_>, outer: Outer) -> Parsed<()> {
    let failed = |wording: String| Err(TextError::new(place, Problem::NotAllowed, wording));
    let field = changed(action);
    let connection = |field: FieldId| matches!(field, FieldId::CT_MARK | FieldId::CT_LABEL);
    if field.is_some_and(connection) && outer != Outer::Ct {
        return failed("cannot set CT fields outside of ct action".to_string());
    }
    if matches!(action, Action::Nat(_)) {
        return if outer == Outer::Ct {
            Ok(())
        } else {
            failed("Cannot have NAT action outside of \"ct\" action".to_string())
        };
    }
    let unsupported = || {
        failed(format!(
            "{} action doesn't support nested action {}",
            outer.name(),
            super::print::word(action)
        ))
    };
    match (outer, field) {
        (Outer::None, _) => Ok(()),
        (Outer::Ct, None) => unsupported(),
        (Outer::Ct, Some(field)) if !connection(field) => {
            failed(format!("{} action doesn't support nested modification of {field}", outer.name()))
        }
        _ if matches!(action, Action::Meter(_)) => unsupported(),
        _ => Ok(()),
    }
}
