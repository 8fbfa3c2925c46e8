//! What a state dict's pickle can hold, and the few calls it may describe.

use crate::checkpoint::FloatType;
use crate::checkpoint::weights::ElementType;

/// Axes of a tensor; a convolution over volumes has five.
const MAX_RANK: usize = 8;

/// Place of a value in [`Values`]: values refer to each other by place, so that no nesting is deep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(u32);

/// Every value that a pickle made.
#[derive(Debug, Default)]
pub(super) struct Values<'p> {
    all: Vec<Value<'p>>,
    root: Option<Id>,
}

#[derive(Debug)]
pub(super) enum Value<'p> {
    None,
    Bool,
    Int(i64),
    Float,
    Text(&'p str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Callable(Callable),
    Storage(Box<Storage<'p>>),
    Tensor(Box<Tensor<'p>>),
}

/// Everything that a pickle may name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Callable {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageOf(ElementType),
}

/// Elements that one or several tensors look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'p> {
    pub dtype: ElementType,
    pub key: &'p str,
    pub elements: u64,
}

/// A view of a storage; offset and strides in elements.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'p> {
    pub storage: Storage<'p>,
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

impl<'p> Values<'p> {
    /// Stores a value.
    pub fn add(&mut self, value: Value<'p>) -> Id {
        self.all.push(value);
        Id(self.all.len() as u32 - 1)
    }

    pub fn get(&self, id: Id) -> &Value<'p> {
        &self.all[id.0 as usize]
    }

    pub fn get_mut(&mut self, id: Id) -> &mut Value<'p> {
        &mut self.all[id.0 as usize]
    }

    /// Names the pickle's result.
    pub fn finish(&mut self, root: Id) {
        self.root = Some(root);
    }

    /// The pickle's result.
    pub fn root(&self) -> &Value<'p> {
        self.root.map_or(&Value::None, |root| self.get(root))
    }

    /// What a call gives.
    pub fn call(&self, callable: Id, arguments: Id) -> Result<Value<'p>, String> {
        let Value::Callable(callable) = self.get(callable) else {
            return Err(format!("got a call of {}", self.get(callable).kind()));
        };
        let arguments: Vec<&Value<'p>> = self.tuple(arguments)?.iter().map(|id| self.get(*id)).collect();
        match (callable, arguments.as_slice()) {
            (Callable::OrderedDict, []) => Ok(Value::Dict(vec![])),
            (Callable::RebuildTensor, [Value::Storage(storage), Value::Int(offset), shape, strides, ..]) => {
                let (shape, strides) = (self.lengths(shape)?, self.lengths(strides)?);
                if shape.len() != strides.len() {
                    return Err(format!("shape {shape:?} and strides {strides:?} differ in rank"));
                }
                let offset = unsigned(*offset)?;
                Ok(Value::Tensor(Box::new(Tensor { storage: **storage, offset, shape, strides })))
            }
            (Callable::RebuildParameter, [Value::Tensor(tensor), ..]) => Ok(Value::Tensor(tensor.clone())),
            _ => Err(format!("got a call of {callable:?} with arguments it does not take")),
        }
    }

    /// What a persistent id stands for: `("storage", <type>, key, location, elements)`; the location is ignored.
    pub fn persistent(&self, id: Id) -> Result<Value<'p>, String> {
        let parts: Vec<&Value<'p>> = self.tuple(id)?.iter().map(|id| self.get(*id)).collect();
        match parts.as_slice() {
            [
                Value::Text("storage"),
                Value::Callable(Callable::StorageOf(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
            ] => Ok(Value::Storage(Box::new(Storage { dtype: *dtype, key, elements: unsigned(*elements)? }))),
            _ => Err("got a persistent id that is no storage".to_owned()),
        }
    }

    fn tuple(&self, id: Id) -> Result<&[Id], String> {
        match self.get(id) {
            Value::Tuple(items) if items.len() <= MAX_RANK => Ok(items),
            Value::Tuple(items) => Err(format!("got a tuple of {}, at most {MAX_RANK} makes sense", items.len())),
            other => Err(format!("got {}, wanted a tuple", other.kind())),
        }
    }

    fn lengths(&self, value: &Value<'p>) -> Result<Vec<u64>, String> {
        let Value::Tuple(items) = value else { return Err(format!("got {}, wanted a tuple of lengths", value.kind())) };
        if items.len() > MAX_RANK {
            return Err(format!("got a tensor of {} axes, at most {MAX_RANK} makes sense", items.len()));
        }
        items
            .iter()
            .map(|item| match self.get(*item) {
                Value::Int(length) => unsigned(*length),
                other => Err(format!("got {}, wanted a length", other.kind())),
            })
            .collect()
    }
}

impl Value<'_> {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool => "a bool",
            Value::Int(_) => "an integer",
            Value::Float => "a float",
            Value::Text(_) => "text",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dict",
            Value::Callable(_) => "a function",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
        }
    }
}

impl Callable {
    /// The callable of this Python name; everything that is not listed here stays a name.
    pub fn named(module: &str, name: &str) -> Option<Self> {
        let float = |float| Some(Callable::StorageOf(ElementType::Float(float)));
        let other = |name, bytes| Some(Callable::StorageOf(ElementType::Other { name, bytes }));
        match (module, name) {
            ("collections", "OrderedDict") => Some(Callable::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Callable::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Callable::RebuildParameter),
            ("torch", "DoubleStorage") => float(FloatType::F64),
            ("torch", "FloatStorage") => float(FloatType::F32),
            ("torch", "HalfStorage") => float(FloatType::F16),
            ("torch", "BFloat16Storage") => float(FloatType::Bf16),
            ("torch", "LongStorage") => other("I64", 8),
            ("torch", "IntStorage") => other("I32", 4),
            ("torch", "ShortStorage") => other("I16", 2),
            ("torch", "CharStorage") => other("I8", 1),
            ("torch", "ByteStorage") => other("U8", 1),
            ("torch", "BoolStorage") => other("BOOL", 1),
            _ => None,
        }
    }
}

fn unsigned(value: i64) -> Result<u64, String> {
    u64::try_from(value).map_err(|_not_negative| format!("got {value}, wanted a number that is not negative"))
}
