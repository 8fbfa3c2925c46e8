//! The six parameter services of a ROS node, and `/parameter_events`.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use ros2_client::builtin_interfaces::Time;
use ros2_client::dds::{Context, Node, Publisher, ServiceMapping};
use ros2_client::error::CreateResult;
use ros2_client::parameters::raw;
use ros2_client::rcl_interfaces as srv;
use ros2_client::{Message, Parameter, ParameterValue};
use smol::future::zip;

use super::service::Service;
use crate::deploy::{Declared, ParamKind, ParamValue, Setting};
use crate::drive::parameters::Parameters;

/// The servers, not answering yet.
pub(super) struct ParameterServers {
    get: Service<srv::GetParametersRequest, srv::GetParametersResponse>,
    types: Service<srv::GetParameterTypesRequest, srv::GetParameterTypesResponse>,
    list: Service<srv::ListParametersRequest, srv::ListParametersResponse>,
    describe: Service<srv::DescribeParametersRequest, srv::DescribeParametersResponse>,
    set: Service<srv::SetParametersRequest, srv::SetParametersResponse>,
    set_all: Service<srv::SetParametersRequest, srv::SetParametersAtomicallyResponse>,
    events: Publisher<raw::ParameterEvent>,
    node: String,
}

impl ParameterServers {
    pub fn new(context: &Context, node: &mut Node, mapping: ServiceMapping) -> CreateResult<Self> {
        const RCL: &str = "rcl_interfaces";
        let events = node.create_publisher(&context.get_parameter_events_topic(), None)?;
        let name = node.fully_qualified_name();
        Ok(Self {
            get: Service::new(context, node, mapping, ("get_parameters", RCL, "GetParameters"))?,
            types: Service::new(context, node, mapping, ("get_parameter_types", RCL, "GetParameterTypes"))?,
            list: Service::new(context, node, mapping, ("list_parameters", RCL, "ListParameters"))?,
            describe: Service::new(context, node, mapping, ("describe_parameters", RCL, "DescribeParameters"))?,
            set: Service::new(context, node, mapping, ("set_parameters", RCL, "SetParameters"))?,
            set_all: Service::new(
                context,
                node,
                mapping,
                ("set_parameters_atomically", RCL, "SetParametersAtomically"),
            )?,
            events,
            node: name,
        })
    }

    /// Answers until it is dropped.
    pub async fn serve(self, parameters: Parameters) {
        let parameters = RefCell::new(parameters);
        let host = Host { parameters: &parameters, events: &self.events, node: &self.node };
        let read = zip(
            zip(
                answer(&self.get, |request| host.get(&request.names)),
                answer(&self.types, |request| host.types(&request.names)),
            ),
            zip(
                answer(&self.list, |request| host.list(&request)),
                answer(&self.describe, |request| host.describe(request.names)),
            ),
        );
        let write =
            zip(answer(&self.set, |request| host.set(request)), answer(&self.set_all, |request| host.set_all(request)));
        zip(read, write).await;
    }
}

/// Boxed, because six of them in one future are large.
fn answer<'a, Q: Message + Clone + 'static, A: Message + 'static>(
    service: &'a Service<Q, A>,
    reply: impl Fn(Q) -> A + 'a,
) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(service.serve(async move |request| Some(reply(request))))
}

/// What the answers are made of.
struct Host<'a> {
    parameters: &'a RefCell<Parameters>,
    events: &'a Publisher<raw::ParameterEvent>,
    node: &'a str,
}

impl Host<'_> {
    fn value(&self, name: &str) -> ParameterValue {
        let parameters = self.parameters.borrow();
        let value = parameters.get(name).and_then(|parameter| parameter.value.as_ref());
        value.map_or(ParameterValue::NotSet, to_ros)
    }

    fn get(&self, names: &[String]) -> srv::GetParametersResponse {
        srv::GetParametersResponse { values: names.iter().map(|name| self.value(name).into()).collect() }
    }

    fn types(&self, names: &[String]) -> srv::GetParameterTypesResponse {
        let values = names.iter().map(|name| self.value(name).to_parameter_type() as u8).collect();
        srv::GetParameterTypesResponse { values }
    }

    fn list(&self, request: &srv::ListParametersRequest) -> srv::ListParametersResponse {
        let (names, prefixes) = self.parameters.borrow().list(&request.prefixes, request.depth);
        srv::ListParametersResponse { result: srv::ListParametersResult { names, prefixes } }
    }

    fn describe(&self, names: Vec<String>) -> srv::DescribeParametersResponse {
        let parameters = self.parameters.borrow();
        let values = names.into_iter().map(|name| descriptor(parameters.get(&name), name)).collect();
        srv::DescribeParametersResponse { values }
    }

    fn set(&self, request: srv::SetParametersRequest) -> srv::SetParametersResponse {
        let results = request.parameter.into_iter().map(|parameter| self.apply(vec![parameter])).collect();
        srv::SetParametersResponse { results }
    }

    fn set_all(&self, request: srv::SetParametersRequest) -> srv::SetParametersAtomicallyResponse {
        srv::SetParametersAtomicallyResponse { result: self.apply(request.parameter) }
    }

    fn apply(&self, wanted: Vec<raw::Parameter>) -> raw::SetParametersResult {
        let wanted: Vec<(String, Option<ParamValue>)> = wanted
            .into_iter()
            .map(Parameter::from)
            .map(|parameter| (parameter.name, from_ros(parameter.value)))
            .collect();
        if let Err(reason) = self.parameters.borrow_mut().set(&wanted) {
            return raw::SetParametersResult { successful: false, reason };
        }
        self.tell(&wanted);
        raw::SetParametersResult { successful: true, reason: String::new() }
    }

    /// As in rclcpp, setting the same value once more is an event too.
    fn tell(&self, set: &[(String, Option<ParamValue>)]) {
        let value = |value: &Option<ParamValue>| value.as_ref().map_or(ParameterValue::NotSet, to_ros);
        let parameter = |(name, new): &(String, _)| Parameter { name: name.clone(), value: value(new) }.into();
        let event = raw::ParameterEvent {
            stamp: Time::from_nanos(self.parameters.borrow().now().nanos()),
            node: self.node.to_owned(),
            new_parameters: Vec::new(),
            changed_parameters: set.iter().map(parameter).collect(),
            deleted_parameters: Vec::new(),
        };
        if let Err(error) = self.events.publish(event) {
            tracing::warn!(%error, "a change of a parameter is not told");
        }
    }
}

fn descriptor(parameter: Option<&Declared>, name: String) -> raw::ParameterDescriptor {
    let kind = parameter.map(|parameter| parameter.kind);
    let (mut floating_point_range, mut integer_range) = (Vec::new(), Vec::new());
    let kind = match kind {
        Some(ParamKind::Bool) => raw::ParameterType::BOOL,
        Some(ParamKind::String) => raw::ParameterType::STRING,
        Some(ParamKind::Int { from }) => {
            integer_range.push(raw::IntegerRange { from_value: from, to_value: i64::MAX, step: 1 });
            raw::ParameterType::INTEGER
        }
        Some(ParamKind::Double { from }) => {
            floating_point_range.push(raw::FloatingPointRange { from_value: from, to_value: f64::MAX, step: 0.0 });
            raw::ParameterType::DOUBLE
        }
        Some(ParamKind::Foreign) | None => parameter
            .and_then(|parameter| parameter.value.as_ref())
            .map_or(raw::ParameterType::NOT_SET, |value| to_ros(value).to_parameter_type() as u8),
    };
    raw::ParameterDescriptor {
        name,
        r#type: kind,
        description: parameter.map(|parameter| parameter.description.clone()).unwrap_or_default(),
        additional_constraints: String::new(),
        read_only: parameter.is_some_and(|parameter| parameter.setting == Setting::AtStart),
        dynamic_typing: false,
        floating_point_range,
        integer_range,
    }
}

fn to_ros(value: &ParamValue) -> ParameterValue {
    match value.clone() {
        ParamValue::Bool(value) => ParameterValue::Boolean(value),
        ParamValue::Int(value) => ParameterValue::Integer(value),
        ParamValue::Double(value) => ParameterValue::Double(value),
        ParamValue::String(value) => ParameterValue::String(value),
        ParamValue::BoolArray(values) => ParameterValue::BooleanArray(values),
        ParamValue::IntArray(values) => ParameterValue::IntegerArray(values),
        ParamValue::DoubleArray(values) => ParameterValue::DoubleArray(values),
        ParamValue::StringArray(values) => ParameterValue::StringArray(values),
    }
}

fn from_ros(value: ParameterValue) -> Option<ParamValue> {
    Some(match value {
        ParameterValue::NotSet => return None,
        ParameterValue::Boolean(value) => ParamValue::Bool(value),
        ParameterValue::Integer(value) => ParamValue::Int(value),
        ParameterValue::Double(value) => ParamValue::Double(value),
        ParameterValue::String(value) => ParamValue::String(value),
        ParameterValue::BooleanArray(values) => ParamValue::BoolArray(values),
        ParameterValue::ByteArray(values) => ParamValue::IntArray(values.into_iter().map(i64::from).collect()),
        ParameterValue::IntegerArray(values) => ParamValue::IntArray(values),
        ParameterValue::DoubleArray(values) => ParamValue::DoubleArray(values),
        ParameterValue::StringArray(values) => ParamValue::StringArray(values),
    })
}
