"""Starts the policy node:

    share=$(ros2 pkg prefix --share vla_runtime)
    ros2 launch vla_runtime vla_node.launch.py bundle:=/path/to/bundle params:=$share/params/arm6.yaml \\
        profile:=$share/calibration/robots/arm6.yaml

Paths in the parameter file are relative to the working directory, so an installed profile is named here.
Topics are remapped where this file is included, or with SetRemap; cameras stand under `images/<camera>`.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = [
    DeclareLaunchArgument("params", description="YAML file of run parameters; share/vla_runtime/params has examples"),
    DeclareLaunchArgument("bundle", default_value="", description="policy bundle; empty: what `params` says"),
    DeclareLaunchArgument("profile", default_value="", description="robot profile; empty: what `params` says"),
    DeclareLaunchArgument("dry_run", default_value="", description="true | false; empty: what `params` says"),
    DeclareLaunchArgument("name", default_value="vla_node", description="name of the node"),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument("log_level", default_value="info", description="debug | info | warn | error | fatal"),
]


def start_node(context):
    def argument(name):
        return LaunchConfiguration(name).perform(context)

    given = {name: argument(name) for name in ("bundle", "profile") if argument(name)}
    if argument("dry_run"):
        given["dry_run"] = {"true": True, "false": False}[argument("dry_run").lower()]
    return [
        Node(
            package="vla_runtime",
            executable="vla",
            arguments=["node"],
            name=argument("name"),
            namespace=argument("namespace"),
            parameters=[argument("params"), given] if given else [argument("params")],
            ros_arguments=["--log-level", argument("log_level")],
            output="screen",
        )
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])
