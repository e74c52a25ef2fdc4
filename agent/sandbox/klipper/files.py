"""What a Klipper machine is configured with: printer.cfg, moonraker.conf and mosquitto.conf."""

from pathlib import Path

from agent.sandbox.klipper.settings import Settings
from agent.sandbox.mosquitto import runs_as

# Pins are the simulated controller's numbers. A heater's sensor is on the pin ten higher.
NOZZLE_HEATER, BED_HEATER = 10, 11
NOZZLE_SENSOR, BED_SENSOR = 20, 21
RUNOUT_SWITCH = 40

# Moves cost (nearly) nothing: the speeds a slicer wrote are multiplied, and the machine's limits are far off. G4 takes its time.
# `_NOTE_START` is reached only where Klippy took the file: it is how the name gets into Klippy's own log.
_PRINTER = """\
[mcu]
serial: {serial}

[printer]
kinematics: cartesian
max_velocity: 20000
max_accel: 50000000
max_z_velocity: 10000
max_z_accel: 10000000
square_corner_velocity: 5000

[stepper_x]
step_pin: P0
dir_pin: P1
endstop_pin: ^P2
microsteps: 1
rotation_distance: 40
position_endstop: 0
position_min: -10
position_max: 260
[stepper_y]
step_pin: P3
dir_pin: P4
endstop_pin: ^P5
microsteps: 1
rotation_distance: 40
position_endstop: 0
position_min: -10
position_max: 260
[stepper_z]
step_pin: P6
dir_pin: P7
endstop_pin: ^P8
microsteps: 1
rotation_distance: 8
position_endstop: 0
position_min: -5
position_max: 260

[adc_temperature linear400]
temperature1: 0
voltage1: 0
temperature2: 400
voltage2: 5.0

[extruder]
step_pin: P9
dir_pin: P30
microsteps: 1
rotation_distance: 33.5
nozzle_diameter: 0.4
filament_diameter: 1.75
heater_pin: P10
sensor_type: linear400
sensor_pin: P20
smooth_time: 0.3
control: watermark
max_delta: 2
min_temp: 0
max_temp: 320
min_extrude_temp: 170
max_extrude_cross_section: 50
max_extrude_only_distance: 500
max_extrude_only_velocity: 10000
max_extrude_only_accel: 10000000
instantaneous_corner_velocity: 100000

[heater_bed]
heater_pin: P11
sensor_type: linear400
sensor_pin: P21
smooth_time: 0.3
control: watermark
max_delta: 2
min_temp: 0
max_temp: 130

[verify_heater extruder]
max_error: 40
check_gain_time: 3

[fan]
pin: P12

[filament_switch_sensor runout]
switch_pin: P40
pause_on_runout: True
event_delay: 0.5

[virtual_sdcard]
path: {gcodes}
on_error_gcode: TURN_OFF_HEATERS
[pause_resume]
recover_velocity: 5000
[display_status]
[exclude_object]
[gcode_arcs]
[firmware_retraction]
[force_move]
enable_force_move: True
[homing_override]
axes: xyz
set_position_x: 0
set_position_y: 0
set_position_z: 0
gcode:
  SET_KINEMATIC_POSITION X=0 Y=0 Z=0
  G4 P{homing_ms:.0f}

[delayed_gcode fast]
initial_duration: 0.01
gcode:
  M220 S1000000

[gcode_macro SDCARD_PRINT_FILE]
rename_existing: BASE_SDCARD_PRINT_FILE
gcode:
  BASE_SDCARD_PRINT_FILE {{rawparams}}
  _NOTE_START {{rawparams}}
[gcode_macro _NOTE_START]
gcode:
  {{action_respond_info("Print start: " ~ rawparams)}}

[gcode_macro PAUSE]
rename_existing: BASE_PAUSE
gcode:
  BASE_PAUSE
[gcode_macro RESUME]
rename_existing: BASE_RESUME
gcode:
  BASE_RESUME
[gcode_macro CANCEL_PRINT]
rename_existing: BASE_CANCEL_PRINT
gcode:
  TURN_OFF_HEATERS
  BASE_CANCEL_PRINT

[gcode_macro PRINT_START]
gcode:
  G28
  M190 S{{params.BED|default(60)|float}}
  M109 S{{params.EXTRUDER|default(215)|float}}
[gcode_macro PRINT_END]
gcode:
  TURN_OFF_HEATERS
  M84
[gcode_macro BED_MESH_CALIBRATE]
gcode:
  G4 P1
"""

_MOONRAKER = """\
[server]
host: 127.0.0.1
port: {http_port}
klippy_uds_address: {klippy_socket}
[machine]
provider: none
validate_service: False
validate_config: False
[authorization]
force_logins: False
{trusted}
[file_manager]
enable_object_processing: False
queue_gcode_uploads: False
check_klipper_config_path: False
{webcam}
[mqtt]
address: 127.0.0.1
port: {mqtt_port}
username: {mqtt_user}
password: {mqtt_password}
instance_name: {instance}
default_qos: 1
api_qos: 1
status_interval: 0.5
status_objects:
  webhooks
  print_stats
  virtual_sdcard=progress,is_active,file_position
  idle_timeout=state
  pause_resume
  display_status
  extruder=temperature,target
  heater_bed=temperature,target
"""
_TRUSTED = "trusted_clients:\n  127.0.0.1"
_WEBCAM = "[webcam cam]\nservice: mjpegstreamer\nstream_url: {url}/stream\nsnapshot_url: {url}/snapshot"

_MOSQUITTO = """\
{user}
allow_anonymous false
password_file {passwords}
persistence false
log_dest stdout
listener {port} 127.0.0.1
{extra}
"""


def printer_cfg(settings: Settings, *, serial: Path, gcodes: Path) -> str:
    return _PRINTER.format(serial=serial, gcodes=gcodes, homing_ms=settings.homing_s * 1000)


def moonraker_conf(settings: Settings, *, klippy_socket: Path, mqtt_user: str, mqtt_password: str) -> str:
    return _MOONRAKER.format(
        http_port=settings.port,
        klippy_socket=klippy_socket,
        mqtt_port=settings.mqtt_port,
        mqtt_user=mqtt_user,
        mqtt_password=mqtt_password,
        instance=settings.instance_name,
        webcam=_WEBCAM.format(url=settings.camera_url) if settings.camera_url else "",
        trusted=_TRUSTED if settings.trusted else "",
    )


def mosquitto_conf(passwords: Path, port: int, extra: str) -> str:
    return _MOSQUITTO.format(user=runs_as(), passwords=passwords, port=port, extra=extra)
