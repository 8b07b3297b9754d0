"""Settings, the API key, and where both are found."""

from bulk_delete.config.key import ApiKey, exposure, find_key
from bulk_delete.config.load import Given, Layer, load
from bulk_delete.config.settings import (
    Api,
    Guards,
    Input,
    Limits,
    Log,
    MaxFailures,
    Rate,
    Retry,
    Schedule,
    Seconds,
    Settings,
    parse_rate,
    parse_seconds,
)
from bulk_delete.config.times import Begun, Clock, DayTime, Window, ZoneName, clock_of
from bulk_delete.config.url import is_loopback, parse_base_url

__all__ = [
    "Api",
    "ApiKey",
    "Begun",
    "Clock",
    "DayTime",
    "Given",
    "Guards",
    "Input",
    "Layer",
    "Limits",
    "Log",
    "MaxFailures",
    "Rate",
    "Retry",
    "Schedule",
    "Seconds",
    "Settings",
    "Window",
    "ZoneName",
    "clock_of",
    "exposure",
    "find_key",
    "is_loopback",
    "load",
    "parse_base_url",
    "parse_rate",
    "parse_seconds",
]
