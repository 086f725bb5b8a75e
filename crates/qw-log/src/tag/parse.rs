//! A template as a tree.

use super::{
    TagError, container,
    functions::{self, Function},
    lex::{self, Kind, Token},
};

/// Blocks and brackets within each other.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Print(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
}

/// A block that depends on a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each of which gets the result of the one before as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipe {
    pub(super) at: usize,
    /// Variables that get the result, at most two.
    pub(super) variables: Vec<String>,
    /// The variables exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub(super) at: usize,
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Function(Function),
    Nil,
    Bool(bool),
    Text(String),
    Int(i64),
    Float(f64),
    Pipe(Box<Pipe>),
}

pub(super) fn parse(template: &str) -> Result<Vec<Node>, TagError> {
    let mut parser = Parser {
        parts: parts(template)?.into_iter(),
        variables: vec![String::new()],
        end: template.len(),
    };
    let (nodes, ended_by) = parser.nodes(0, true)?;
    match ended_by {
        None => Ok(nodes),
        Some((at, end)) => Err(TagError::new(
            at,
            format!("`{}` without a block", end.word()),
        )),
    }
}

/// Text, or the tokens of an action.
enum Part {
    Text(String),
    Action(usize, Vec<Token>),
}

fn parts(template: &str) -> Result<Vec<Part>, TagError> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut trims = false;
    while at < template.len() {
        let rest = template.get(at..).unwrap_or_default();
        let open = rest.find("{{");
        let text = rest.get(..open.unwrap_or(rest.len())).unwrap_or_default();
        let text = if trims { text.trim_start() } else { text };
        let Some(open) = open else {
            parts.push(Part::Text(text.to_owned()));
            break;
        };
        let begin = at + open;
        let mut inner = begin + 2;
        let after = template.get(inner..).unwrap_or_default();
        let trims_before = after.starts_with('-')
            && after
                .get(1..)
                .is_some_and(|next| next.starts_with(char::is_whitespace));
        let text = if trims_before { text.trim_end() } else { text };
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        inner += usize::from(trims_before);
        let after = template.get(inner..).unwrap_or_default();
        let (length, is_comment) =
            action_length(after).ok_or_else(|| TagError::new(begin, "`{{` without `}}`"))?;
        let action = after.get(..length).unwrap_or_default();
        at = inner + length + 2;
        trims = action.ends_with('-')
            && action
                .get(..length - 1)
                .is_some_and(|action| action.ends_with(char::is_whitespace));
        let action = if trims {
            action.get(..length - 1).unwrap_or_default()
        } else {
            action
        };
        if !is_comment {
            parts.push(Part::Action(begin, lex::lex(action, inner)?));
        }
    }
    Ok(parts)
}

/// Bytes in front of the `}}` that ends an action, which quotes may hold; whether it is a comment.
fn action_length(text: &str) -> Option<(usize, bool)> {
    let trimmed = text.trim_start();
    if trimmed.starts_with("/*") {
        let begin = text.len() - trimmed.len();
        let end = begin + trimmed.find("*/")? + 2;
        return Some((end + text.get(end..)?.find("}}")?, true));
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), letter) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(letter),
            (None, '}') if text.get(at..).is_some_and(|rest| rest.starts_with("}}")) => {
                return Some((at, false));
            }
            _ => {}
        }
    }
    None
}

/// Nodes, and where and how their list ended; `None` at the end of the template.
type Nodes = (Vec<Node>, Option<(usize, Ending)>);

/// What ends a list of nodes.
enum Ending {
    Closed,
    Else,
    /// `else if …` and `else with …`: a block of its own within the other branch.
    ElseBlock(String, Vec<Token>),
}

impl Ending {
    fn word(&self) -> &'static str {
        match self {
            Self::Closed => "end",
            Self::Else | Self::ElseBlock(..) => "else",
        }
    }
}

struct Parser {
    parts: std::vec::IntoIter<Part>,
    /// Names of the variables that exist here.
    variables: Vec<String>,
    end: usize,
}

impl Parser {
    /// Nodes up to the end of their block; `is_container`: `.` is the container there.
    fn nodes(&mut self, depth: usize, is_container: bool) -> Result<Nodes, TagError> {
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let (at, tokens) = match part {
                Part::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Part::Action(at, tokens) => (at, tokens),
            };
            let keyword = match tokens.first().map(|token| &token.kind) {
                Some(Kind::Word(word)) => word.as_str(),
                _ => "",
            };
            let rest = || tokens.get(1..).unwrap_or_default().to_vec();
            match keyword {
                "if" | "with" | "range" => {
                    nodes.push(self.block(keyword, at, rest(), depth + 1, is_container)?);
                }
                "end" if tokens.len() == 1 => return Ok((nodes, Some((at, Ending::Closed)))),
                "else" => {
                    let end = match tokens.get(1).map(|token| &token.kind) {
                        None => Ending::Else,
                        Some(Kind::Word(word)) if word == "if" || word == "with" => {
                            Ending::ElseBlock(
                                word.clone(),
                                tokens.get(2..).unwrap_or_default().to_vec(),
                            )
                        }
                        Some(_) => return Err(TagError::new(at, "`else` takes `if …` or nothing")),
                    };
                    return Ok((nodes, Some((at, end))));
                }
                "end" => return Err(TagError::new(at, "`end` takes nothing")),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(TagError::new(
                        at,
                        format!("`{keyword}` is not available in tags"),
                    ));
                }
                _ => nodes.push(Node::Print(self.pipe(at, tokens, is_container)?)),
            }
        }
        Ok((nodes, None))
    }

    fn block(
        &mut self,
        keyword: &str,
        at: usize,
        tokens: Vec<Token>,
        depth: usize,
        is_container: bool,
    ) -> Result<Node, TagError> {
        if depth > MAX_DEPTH {
            return Err(TagError::new(at, "too many blocks within each other"));
        }
        let known = self.variables.len();
        let pipe = self.pipe(at, tokens, is_container)?;
        let (then, end) = self.nodes(depth, is_container && keyword == "if")?;
        let unclosed = || TagError::new(at, format!("`{keyword}` without `end`"));
        let otherwise = match end.ok_or_else(unclosed)? {
            (_, Ending::Closed) => Vec::new(),
            (_, Ending::Else) => match self.nodes(depth, is_container)? {
                (otherwise, Some((_, Ending::Closed))) => otherwise,
                (_, Some((at, _))) => return Err(TagError::new(at, "a second `else`")),
                (_, None) => {
                    return Err(TagError::new(
                        self.end,
                        format!("`{keyword}` without `end`"),
                    ));
                }
            },
            (at, Ending::ElseBlock(keyword, tokens)) => {
                vec![self.block(&keyword, at, tokens, depth + 1, is_container)?]
            }
        };
        self.variables.truncate(known);
        let branch = Branch {
            pipe,
            then,
            otherwise,
        };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn pipe(
        &mut self,
        at: usize,
        tokens: Vec<Token>,
        is_container: bool,
    ) -> Result<Pipe, TagError> {
        let mut reader = Reader {
            tokens: tokens.into_iter().peekable(),
            at,
            is_container,
        };
        let pipe = reader.pipe(&self.variables, 0)?;
        if let Some(token) = reader.tokens.next() {
            return Err(TagError::new(token.at, "unexpected `)`"));
        }
        if !pipe.assigns {
            self.variables.extend(pipe.variables.iter().cloned());
        }
        Ok(pipe)
    }
}

/// Reads the tokens of one action.
struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    /// The byte that was read last.
    at: usize,
    is_container: bool,
}

impl Reader {
    /// A pipe up to the end or a closing bracket.
    fn pipe(&mut self, known: &[String], depth: usize) -> Result<Pipe, TagError> {
        if depth > MAX_DEPTH {
            return Err(TagError::new(
                self.at,
                "too many brackets within each other",
            ));
        }
        let mut pipe = Pipe {
            at: self.at,
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.variables(&mut pipe, known)?;
        loop {
            pipe.commands.push(self.command(known, depth)?);
            match self.tokens.peek().map(|token| &token.kind) {
                Some(Kind::Pipe) => drop(self.tokens.next()),
                _ => return Ok(pipe),
            }
        }
    }

    /// `$x :=`, `$x =` or `$number, $x :=`, if that stands here.
    fn variables(&mut self, pipe: &mut Pipe, known: &[String]) -> Result<(), TagError> {
        let mut ahead = self.tokens.clone();
        let mut names = Vec::new();
        loop {
            let Some(Token {
                kind: Kind::Variable(name),
                ..
            }) = ahead.next()
            else {
                return Ok(());
            };
            names.push(name);
            match ahead.next() {
                Some(Token {
                    kind: Kind::Comma, ..
                }) if names.len() < 2 => {}
                Some(Token {
                    kind: Kind::Declare,
                    ..
                }) => break,
                Some(Token {
                    kind: Kind::Assign,
                    at,
                    ..
                }) => {
                    pipe.assigns = true;
                    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
                        return Err(TagError::new(
                            at,
                            format!("variable `${name}` does not exist"),
                        ));
                    }
                    break;
                }
                _ => return Ok(()),
            }
        }
        pipe.variables = names;
        self.tokens = ahead;
        Ok(())
    }

    fn command(&mut self, known: &[String], depth: usize) -> Result<Command, TagError> {
        let first = self.operand(known, depth)?;
        let first = first.ok_or_else(|| TagError::new(self.at, "a value is missing"))?;
        let at = first.at;
        let mut arguments = Vec::new();
        while let Some(argument) = self.operand(known, depth)? {
            arguments.push(argument);
        }
        if !arguments.is_empty() && !matches!(first.base, Base::Function(_)) {
            return Err(TagError::new(at, "what takes no arguments has some"));
        }
        Ok(Command {
            at,
            first,
            arguments,
        })
    }

    /// The operand that stands here; `None` before a `|`, a `)` and the end.
    fn operand(&mut self, known: &[String], depth: usize) -> Result<Option<Operand>, TagError> {
        let Some(token) = self
            .tokens
            .next_if(|token| !matches!(token.kind, Kind::Pipe | Kind::Close))
        else {
            return Ok(None);
        };
        let at = token.at;
        self.at = at;
        let mut fields = Vec::new();
        let base = match token.kind {
            Kind::Dot => Base::Dot,
            Kind::Field(name) => {
                if self.is_container && !container::FIELDS.contains(&name.as_str()) {
                    return Err(TagError::new(
                        at,
                        format!("a container has no field `{name}`"),
                    ));
                }
                fields.push(name);
                Base::Dot
            }
            Kind::Variable(name) if known.contains(&name) => Base::Variable(name),
            Kind::Variable(name) => {
                return Err(TagError::new(
                    at,
                    format!("variable `${name}` does not exist"),
                ));
            }
            Kind::Text(text) => Base::Text(text),
            Kind::Int(number) => Base::Int(number),
            Kind::Float(number) => Base::Float(number),
            Kind::Word(word) => match word.as_str() {
                "true" => Base::Bool(true),
                "false" => Base::Bool(false),
                "nil" => Base::Nil,
                name => Base::Function(functions::named(name).ok_or_else(|| {
                    TagError::new(at, format!("function `{name}` does not exist"))
                })?),
            },
            Kind::Open => {
                let pipe = self.pipe(known, depth + 1)?;
                match self.tokens.next().map(|token| token.kind) {
                    Some(Kind::Close) => Base::Pipe(Box::new(pipe)),
                    _ => return Err(TagError::new(at, "`(` without `)`")),
                }
            }
            Kind::Declare | Kind::Assign | Kind::Comma | Kind::Pipe | Kind::Close => {
                return Err(TagError::new(at, "this does not belong here"));
            }
        };
        while let Some(token) = self
            .tokens
            .next_if(|token| !token.spaced && matches!(token.kind, Kind::Field(_)))
        {
            if let Kind::Field(name) = token.kind {
                fields.push(name);
            }
        }
        Ok(Some(Operand { at, base, fields }))
    }
}
