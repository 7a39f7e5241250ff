// How the driver's functions are declared.
#pragma once

#define API extern "C" __attribute__((visibility("default")))
