//! OpenFlow: messages, matches and actions, on the wire and as text.
