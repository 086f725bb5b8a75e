//! Trees become text.

use super::{
    Container, MAX_OUTPUT, TagError,
    functions::{self, Function},
    parse::{Base, Branch, Command, Node, Operand, Pipe},
    value::Value,
};

/// Commands that are run at most, so that loops within loops end.
const MAX_STEPS: usize = 100_000;

pub(super) fn render(nodes: &[Node], container: &Container<'_>) -> Result<String, TagError> {
    let mut run = Run {
        container,
        variables: vec![(String::new(), Value::Container)],
        output: String::new(),
        steps: 0,
        at: 0,
    };
    run.nodes(nodes, &Value::Container)?;
    Ok(run.output)
}

struct Run<'c> {
    container: &'c Container<'c>,
    /// Names without `$`, and values; the last of a name is meant.
    variables: Vec<(String, Value<'c>)>,
    output: String,
    steps: usize,
    /// Where the last step was.
    at: usize,
}

impl<'c> Run<'c> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value<'c>) -> Result<(), TagError> {
        for node in nodes {
            match node {
                Node::Text(text) => {
                    self.output.push_str(text);
                    self.bound(self.at)?;
                }
                Node::Print(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        value.print(&mut self.output);
                    }
                    self.bound(pipe.at)?;
                }
                Node::If(branch) => {
                    self.scoped(|run| {
                        let value = run.pipe(&branch.pipe, dot)?;
                        run.nodes(chosen(branch, &value), dot)
                    })?;
                }
                Node::With(branch) => {
                    self.scoped(|run| {
                        let value = run.pipe(&branch.pipe, dot)?;
                        let dot = if value.is_true() { &value } else { dot };
                        run.nodes(chosen(branch, &value), dot)
                    })?;
                }
                Node::Range(branch) => self.scoped(|run| run.range(branch, dot))?,
            }
        }
        Ok(())
    }

    /// Variables that are declared within a block end with it.
    fn scoped(
        &mut self,
        block: impl FnOnce(&mut Self) -> Result<(), TagError>,
    ) -> Result<(), TagError> {
        let known = self.variables.len();
        block(self)?;
        self.variables.truncate(known);
        Ok(())
    }

    fn range(&mut self, branch: &Branch, dot: &Value<'c>) -> Result<(), TagError> {
        let pipe = &branch.pipe;
        let unbound = Pipe {
            variables: Vec::new(),
            ..pipe.clone()
        };
        let items: Vec<(Value<'c>, Value<'c>)> = match self.pipe(&unbound, dot)? {
            Value::List(list) => {
                let numbers = (0..).map(Value::Int);
                numbers.zip(list).collect()
            }
            Value::Map(map) => {
                let entries = map.into_iter();
                entries
                    .map(|(name, value)| (Value::Text(name), Value::Text(value)))
                    .collect()
            }
            Value::Nil => Vec::new(),
            other => {
                let message = format!("`range` takes a list or a map, not a {}", other.kind());
                return Err(TagError::new(pipe.at, message));
            }
        };
        if items.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        for (key, item) in items {
            self.step(pipe.at)?;
            self.scoped(|run| {
                let mut values = match pipe.variables.len() {
                    2 => vec![key, item.clone()],
                    _ => vec![item.clone()],
                };
                for (name, value) in pipe.variables.iter().zip(values.drain(..)) {
                    run.set(name, value, pipe.assigns);
                }
                run.nodes(&branch.then, &item)
            })?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value<'c>, assigns: bool) {
        let mut known = self.variables.iter_mut().rev();
        match known.find(|(known, _)| assigns && known == name) {
            Some((_, variable)) => *variable = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value<'c>) -> Result<Value<'c>, TagError> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &Command,
        piped: Option<Value<'c>>,
        dot: &Value<'c>,
    ) -> Result<Value<'c>, TagError> {
        self.step(command.at)?;
        let Base::Function(function) = command.first.base else {
            if piped.is_some() {
                let message = "a value is piped into what is no function";
                return Err(TagError::new(command.at, message));
            }
            return self.operand(&command.first, dot);
        };
        // `and` and `or` do not look further than they must.
        if let Function::And | Function::Or = function {
            let mut last = None;
            for argument in &command.arguments {
                let value = self.operand(argument, dot)?;
                if value.is_true() == (function == Function::Or) {
                    return Ok(value);
                }
                last = Some(value);
            }
            let missing = || TagError::new(command.at, "`and` and `or` take at least one value");
            return piped.or(last).ok_or_else(missing);
        }
        let mut arguments = Vec::with_capacity(command.arguments.len() + 1);
        for argument in &command.arguments {
            arguments.push(self.operand(argument, dot)?);
        }
        arguments.extend(piped);
        let value = functions::call(function, arguments)
            .map_err(|message| TagError::new(command.at, message))?;
        if let Value::Text(text) = &value
            && text.len() > MAX_OUTPUT
        {
            let message = format!("a value becomes longer than {MAX_OUTPUT} bytes");
            return Err(TagError::new(command.at, message));
        }
        self.fields(value, &command.first)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value<'c>) -> Result<Value<'c>, TagError> {
        let value = match &operand.base {
            Base::Dot => dot.clone(),
            Base::Variable(name) => {
                let mut known = self.variables.iter().rev();
                let found = known.find(|(known, _)| known == name);
                found.map_or(Value::Nil, |(_, value)| value.clone())
            }
            Base::Nil => Value::Nil,
            Base::Bool(is_true) => Value::Bool(*is_true),
            Base::Text(text) => text.clone().into(),
            Base::Int(number) => Value::Int(*number),
            Base::Float(number) => Value::Float(*number),
            Base::Pipe(pipe) => self.pipe(pipe, dot)?,
            Base::Function(function) => functions::call(*function, Vec::new())
                .map_err(|message| TagError::new(operand.at, message))?,
        };
        self.fields(value, operand)
    }

    fn fields(&self, value: Value<'c>, operand: &Operand) -> Result<Value<'c>, TagError> {
        let mut value = value;
        for name in &operand.fields {
            value = match value {
                Value::Container => self.container.field(name).ok_or_else(|| {
                    TagError::new(operand.at, format!("a container has no field `{name}`"))
                })?,
                Value::Map(map) => map
                    .get(name.as_str())
                    .cloned()
                    .map_or(Value::Nil, Value::Text),
                Value::Time(time) if name == "Unix" => Value::Int(time.as_seconds()),
                Value::Time(time) if name == "UnixNano" => Value::Int(time.as_nanos()),
                other => {
                    let message = format!("a {} has no field `{name}`", other.kind());
                    return Err(TagError::new(operand.at, message));
                }
            };
        }
        Ok(value)
    }

    fn step(&mut self, at: usize) -> Result<(), TagError> {
        self.steps += 1;
        self.at = at;
        if self.steps > MAX_STEPS {
            return Err(TagError::new(at, "the template takes too many steps"));
        }
        Ok(())
    }

    fn bound(&self, at: usize) -> Result<(), TagError> {
        if self.output.len() > MAX_OUTPUT {
            let message = format!("the text becomes longer than {MAX_OUTPUT} bytes");
            return Err(TagError::new(at, message));
        }
        Ok(())
    }
}

fn chosen<'b>(branch: &'b Branch, value: &Value<'_>) -> &'b [Node] {
    if value.is_true() {
        &branch.then
    } else {
        &branch.otherwise
    }
}
