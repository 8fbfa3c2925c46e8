#!/bin/sh
# Lays vla out as a ROS 2 package, so that `ros2 launch vla_runtime ...` and `ros2 run vla_runtime vla node` find it:
#
#   launch/install.sh PREFIX [VLA]     VLA: the built program, target/release/vla where not given
#
# Afterwards `export AMENT_PREFIX_PATH=PREFIX:$AMENT_PREFIX_PATH`. Needs no ROS and no root.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
here=$(CDPATH='' cd "$(dirname "$0")" && pwd)
vla=${2-$here/../target/release/vla}
if [ ! -x "$vla" ]; then
    echo "install: $vla is not a program; build it with: cargo build --release" >&2
    exit 1
fi
share=$1/share/vla_runtime
lib=$1/lib/vla_runtime
markers=$1/share/ament_index/resource_index/packages

mkdir -p "$share/launch" "$share/params" "$share/systemd" "$share/calibration" "$share/vla_msgs" "$lib" "$markers"
: >"$markers/vla_runtime"
cp "$here/package.xml" "$share/"
cp "$here/vla_node.launch.py" "$here/vla_node.launch.xml" "$share/launch/"
cp "$here/vla_node.service" "$share/systemd/"
cp "$here/params/"*.yaml "$share/params/"
cp -R "$here/../calibration/." "$share/calibration/"
# The message package is built where ROS is, with colcon; a node without it runs all the same.
cp -R "$here/vla_msgs/." "$share/vla_msgs/"
cp "$vla" "$lib/vla"
# vla looks for the library beside itself.
if [ -e "$here/../third_party/ort/libonnxruntime.so" ]; then
    cp -P "$here/../third_party/ort/"libonnxruntime* "$lib/"
else
    echo "install: no ONNX Runtime in third_party/ort; run scripts/setup first or set ORT_DYLIB_PATH on the robot" >&2
fi
echo "installed vla_runtime in $1"
