#include "core/work_note.h"

_Thread_local struct work_note work_note;
