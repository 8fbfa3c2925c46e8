"""ROS 2 messages for CycloneDDS, written from the `.msg` files and independent of the Rust side."""

from dataclasses import dataclass, field

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, byte, float32, float64, int8, int32, int64, sequence, uint8, uint32, uint64


@dataclass
class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
class Duration(IdlStruct, typename="builtin_interfaces::msg::dds_::Duration_"):
    sec: int32 = 0
    nanosec: uint32 = 0


@dataclass
class Clock(IdlStruct, typename="rosgraph_msgs::msg::dds_::Clock_"):
    clock: Time = field(default_factory=Time)


@dataclass
class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time = field(default_factory=Time)
    frame_id: str = ""


@dataclass
class String(IdlStruct, typename="std_msgs::msg::dds_::String_"):
    data: str = ""


@dataclass
class Float64(IdlStruct, typename="std_msgs::msg::dds_::Float64_"):
    data: float64


@dataclass
class Vector3(IdlStruct, typename="geometry_msgs::msg::dds_::Vector3_"):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
class Point(IdlStruct, typename="geometry_msgs::msg::dds_::Point_"):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0


@dataclass
class Quaternion(IdlStruct, typename="geometry_msgs::msg::dds_::Quaternion_"):
    x: float64 = 0.0
    y: float64 = 0.0
    z: float64 = 0.0
    w: float64 = 1.0


@dataclass
class Pose(IdlStruct, typename="geometry_msgs::msg::dds_::Pose_"):
    position: Point
    orientation: Quaternion


@dataclass
class PoseStamped(IdlStruct, typename="geometry_msgs::msg::dds_::PoseStamped_"):
    header: Header
    pose: Pose


@dataclass
class Twist(IdlStruct, typename="geometry_msgs::msg::dds_::Twist_"):
    linear: Vector3
    angular: Vector3


@dataclass
class TwistStamped(IdlStruct, typename="geometry_msgs::msg::dds_::TwistStamped_"):
    header: Header
    twist: Twist


@dataclass
class Transform(IdlStruct, typename="geometry_msgs::msg::dds_::Transform_"):
    translation: Vector3
    rotation: Quaternion


@dataclass
class TransformStamped(IdlStruct, typename="geometry_msgs::msg::dds_::TransformStamped_"):
    header: Header
    child_frame_id: str
    transform: Transform


@dataclass
class TFMessage(IdlStruct, typename="tf2_msgs::msg::dds_::TFMessage_"):
    transforms: sequence[TransformStamped]


@dataclass
class MultiArrayDimension(IdlStruct, typename="std_msgs::msg::dds_::MultiArrayDimension_"):
    label: str
    size: uint32
    stride: uint32


@dataclass
class MultiArrayLayout(IdlStruct, typename="std_msgs::msg::dds_::MultiArrayLayout_"):
    dim: sequence[MultiArrayDimension]
    data_offset: uint32


@dataclass
class Float64MultiArray(IdlStruct, typename="std_msgs::msg::dds_::Float64MultiArray_"):
    layout: MultiArrayLayout
    data: sequence[float64]


@dataclass
class Image(IdlStruct, typename="sensor_msgs::msg::dds_::Image_"):
    header: Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


@dataclass
class CompressedImage(IdlStruct, typename="sensor_msgs::msg::dds_::CompressedImage_"):
    header: Header
    format: str
    data: sequence[uint8]


@dataclass
class JointState(IdlStruct, typename="sensor_msgs::msg::dds_::JointState_"):
    header: Header
    name: sequence[str]
    position: sequence[float64]
    velocity: sequence[float64] = field(default_factory=list)
    effort: sequence[float64] = field(default_factory=list)


@dataclass
class RegionOfInterest(IdlStruct, typename="sensor_msgs::msg::dds_::RegionOfInterest_"):
    x_offset: uint32
    y_offset: uint32
    height: uint32
    width: uint32
    do_rectify: bool


@dataclass
class CameraInfo(IdlStruct, typename="sensor_msgs::msg::dds_::CameraInfo_"):
    header: Header
    height: uint32
    width: uint32
    distortion_model: str
    d: sequence[float64]
    k: array[float64, 9]
    r: array[float64, 9]
    p: array[float64, 12]
    binning_x: uint32
    binning_y: uint32
    roi: RegionOfInterest


@dataclass
class JointTrajectoryPoint(IdlStruct, typename="trajectory_msgs::msg::dds_::JointTrajectoryPoint_"):
    positions: sequence[float64]
    velocities: sequence[float64]
    accelerations: sequence[float64]
    effort: sequence[float64]
    time_from_start: Duration


@dataclass
class JointTrajectory(IdlStruct, typename="trajectory_msgs::msg::dds_::JointTrajectory_"):
    header: Header
    joint_names: sequence[str]
    points: sequence[JointTrajectoryPoint]


@dataclass
class KeyValue(IdlStruct, typename="diagnostic_msgs::msg::dds_::KeyValue_"):
    key: str
    value: str


@dataclass
class DiagnosticStatus(IdlStruct, typename="diagnostic_msgs::msg::dds_::DiagnosticStatus_"):
    level: byte
    name: str
    message: str
    hardware_id: str
    values: sequence[KeyValue]


@dataclass
class DiagnosticArray(IdlStruct, typename="diagnostic_msgs::msg::dds_::DiagnosticArray_"):
    header: Header
    status: sequence[DiagnosticStatus]


@dataclass
class ActionChunk(IdlStruct, typename="vla_msgs::msg::dds_::ActionChunk_"):
    header: Header
    task: str
    bundle_digest: str
    chunk_id: uint64
    source: str
    names: sequence[str]
    chunk_size: uint32
    action_dt: Duration
    actions: sequence[float64]
    inference_delay: Duration
    kept_tokens: uint32
    inputs: sequence[str]
    input_ages: sequence[Duration]
    verdict: str


@dataclass
class Gid(IdlStruct, typename="rmw_dds_common::msg::dds_::Gid_"):
    data: array[uint8, 16]


@dataclass
class NodeEntitiesInfo(IdlStruct, typename="rmw_dds_common::msg::dds_::NodeEntitiesInfo_"):
    node_namespace: str
    node_name: str
    reader_gid_seq: sequence[Gid]
    writer_gid_seq: sequence[Gid]


@dataclass
class ParticipantEntitiesInfo(IdlStruct, typename="rmw_dds_common::msg::dds_::ParticipantEntitiesInfo_"):
    gid: Gid
    node_entities_info_seq: sequence[NodeEntitiesInfo]


@dataclass
class ParameterValue(IdlStruct, typename="rcl_interfaces::msg::dds_::ParameterValue_"):
    type: uint8 = 0
    bool_value: bool = False
    integer_value: int64 = 0
    double_value: float64 = 0.0
    string_value: str = ""
    byte_array_value: sequence[uint8] = field(default_factory=list)
    bool_array_value: sequence[bool] = field(default_factory=list)
    integer_array_value: sequence[int64] = field(default_factory=list)
    double_array_value: sequence[float64] = field(default_factory=list)
    string_array_value: sequence[str] = field(default_factory=list)


@dataclass
class Parameter(IdlStruct, typename="rcl_interfaces::msg::dds_::Parameter_"):
    name: str
    value: ParameterValue


@dataclass
class ParameterEvent(IdlStruct, typename="rcl_interfaces::msg::dds_::ParameterEvent_"):
    stamp: Time
    node: str
    new_parameters: sequence[Parameter]
    changed_parameters: sequence[Parameter]
    deleted_parameters: sequence[Parameter]


@dataclass
class SetParametersResult(IdlStruct, typename="rcl_interfaces::msg::dds_::SetParametersResult_"):
    successful: bool
    reason: str


# rmw_cyclonedds_cpp puts the identity of a request in front of the request and of its reply.


@dataclass
class GetParametersRequest(IdlStruct, typename="rcl_interfaces::srv::dds_::GetParameters_Request_"):
    guid: uint64
    seq: int64
    names: sequence[str]


@dataclass
class GetParametersResponse(IdlStruct, typename="rcl_interfaces::srv::dds_::GetParameters_Response_"):
    guid: uint64
    seq: int64
    values: sequence[ParameterValue]


@dataclass
class SetParametersRequest(IdlStruct, typename="rcl_interfaces::srv::dds_::SetParameters_Request_"):
    guid: uint64
    seq: int64
    parameters: sequence[Parameter]


@dataclass
class SetParametersResponse(IdlStruct, typename="rcl_interfaces::srv::dds_::SetParameters_Response_"):
    guid: uint64
    seq: int64
    results: sequence[SetParametersResult]


@dataclass
class GetStateRequest(IdlStruct, typename="lifecycle_msgs::srv::dds_::GetState_Request_"):
    guid: uint64
    seq: int64
    structure_needs_at_least_one_member: uint8 = 0


@dataclass
class State(IdlStruct, typename="lifecycle_msgs::msg::dds_::State_"):
    id: uint8
    label: str


@dataclass
class GetStateResponse(IdlStruct, typename="lifecycle_msgs::srv::dds_::GetState_Response_"):
    guid: uint64
    seq: int64
    current_state: State


@dataclass
class Transition(IdlStruct, typename="lifecycle_msgs::msg::dds_::Transition_"):
    id: uint8 = 0
    label: str = ""


@dataclass
class TransitionDescription(IdlStruct, typename="lifecycle_msgs::msg::dds_::TransitionDescription_"):
    transition: Transition
    start_state: State
    goal_state: State


@dataclass
class TransitionEvent(IdlStruct, typename="lifecycle_msgs::msg::dds_::TransitionEvent_"):
    timestamp: uint64
    transition: Transition
    start_state: State
    goal_state: State


@dataclass
class GetAvailableTransitionsRequest(
    IdlStruct, typename="lifecycle_msgs::srv::dds_::GetAvailableTransitions_Request_"
):
    guid: uint64
    seq: int64
    structure_needs_at_least_one_member: uint8 = 0


@dataclass
class GetAvailableTransitionsResponse(
    IdlStruct, typename="lifecycle_msgs::srv::dds_::GetAvailableTransitions_Response_"
):
    guid: uint64
    seq: int64
    available_transitions: sequence[TransitionDescription]


@dataclass
class ChangeStateRequest(IdlStruct, typename="lifecycle_msgs::srv::dds_::ChangeState_Request_"):
    guid: uint64
    seq: int64
    transition: Transition


@dataclass
class ChangeStateResponse(IdlStruct, typename="lifecycle_msgs::srv::dds_::ChangeState_Response_"):
    guid: uint64
    seq: int64
    success: bool


@dataclass
class TriggerRequest(IdlStruct, typename="std_srvs::srv::dds_::Trigger_Request_"):
    guid: uint64
    seq: int64
    structure_needs_at_least_one_member: uint8 = 0


@dataclass
class TriggerResponse(IdlStruct, typename="std_srvs::srv::dds_::Trigger_Response_"):
    guid: uint64
    seq: int64
    success: bool
    message: str


@dataclass
class Bool(IdlStruct, typename="std_msgs::msg::dds_::Bool_"):
    data: bool


@dataclass
class Joy(IdlStruct, typename="sensor_msgs::msg::dds_::Joy_"):
    header: Header
    axes: sequence[float32]
    buttons: sequence[int32]


# Actions: three services and two topics each.


@dataclass
class UUID(IdlStruct, typename="unique_identifier_msgs::msg::dds_::UUID_"):
    uuid: array[uint8, 16]


@dataclass
class GoalInfo(IdlStruct, typename="action_msgs::msg::dds_::GoalInfo_"):
    goal_id: UUID
    stamp: Time = field(default_factory=Time)


@dataclass
class GoalStatus(IdlStruct, typename="action_msgs::msg::dds_::GoalStatus_"):
    goal_info: GoalInfo
    status: int8


@dataclass
class GoalStatusArray(IdlStruct, typename="action_msgs::msg::dds_::GoalStatusArray_"):
    status_list: sequence[GoalStatus]


@dataclass
class CancelGoalRequest(IdlStruct, typename="action_msgs::srv::dds_::CancelGoal_Request_"):
    guid: uint64
    seq: int64
    goal_info: GoalInfo


@dataclass
class CancelGoalResponse(IdlStruct, typename="action_msgs::srv::dds_::CancelGoal_Response_"):
    guid: uint64
    seq: int64
    return_code: int8
    goals_canceling: sequence[GoalInfo]


@dataclass
class RunPolicyGoal(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_Goal_"):
    prompt: str
    max_duration: Duration = field(default_factory=Duration)


@dataclass
class RunPolicySendGoalRequest(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_SendGoal_Request_"):
    guid: uint64
    seq: int64
    goal_id: UUID
    goal: RunPolicyGoal


@dataclass
class RunPolicySendGoalResponse(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_SendGoal_Response_"):
    guid: uint64
    seq: int64
    accepted: bool
    stamp: Time


@dataclass
class RunPolicyGetResultRequest(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_GetResult_Request_"):
    guid: uint64
    seq: int64
    goal_id: UUID


@dataclass
class RunPolicyResult(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_Result_"):
    success: bool
    reason: str


@dataclass
class RunPolicyGetResultResponse(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_GetResult_Response_"):
    guid: uint64
    seq: int64
    status: int8
    result: RunPolicyResult


@dataclass
class RunPolicyFeedback(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_Feedback_"):
    chunks: uint64
    state: str


@dataclass
class RunPolicyFeedbackMessage(IdlStruct, typename="vla_msgs::action::dds_::RunPolicy_FeedbackMessage_"):
    goal_id: UUID
    feedback: RunPolicyFeedback


@dataclass
class GripperCommand(IdlStruct, typename="control_msgs::msg::dds_::GripperCommand_"):
    position: float64
    max_effort: float64


@dataclass
class GripperCommandGoal(IdlStruct, typename="control_msgs::action::dds_::GripperCommand_Goal_"):
    command: GripperCommand


@dataclass
class GripperCommandSendGoalRequest(IdlStruct, typename="control_msgs::action::dds_::GripperCommand_SendGoal_Request_"):
    guid: uint64
    seq: int64
    goal_id: UUID
    goal: GripperCommandGoal


@dataclass
class GripperCommandSendGoalResponse(
    IdlStruct, typename="control_msgs::action::dds_::GripperCommand_SendGoal_Response_"
):
    guid: uint64
    seq: int64
    accepted: bool
    stamp: Time = field(default_factory=Time)


@dataclass
class ParallelGripperCommandGoal(IdlStruct, typename="control_msgs::action::dds_::ParallelGripperCommand_Goal_"):
    command: JointState


@dataclass
class ParallelGripperCommandSendGoalRequest(
    IdlStruct, typename="control_msgs::action::dds_::ParallelGripperCommand_SendGoal_Request_"
):
    guid: uint64
    seq: int64
    goal_id: UUID
    goal: ParallelGripperCommandGoal


@dataclass
class ParallelGripperCommandSendGoalResponse(
    IdlStruct, typename="control_msgs::action::dds_::ParallelGripperCommand_SendGoal_Response_"
):
    guid: uint64
    seq: int64
    accepted: bool
    stamp: Time = field(default_factory=Time)
