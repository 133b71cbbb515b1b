"""embed.py NAME INPUT OUTPUT: makes a C header that holds the file's bytes as the array NAME."""
import sys
from pathlib import Path

name, source, target = sys.argv[1:]
data = Path(source).read_bytes()
rows = (data[i:i + 16] for i in range(0, len(data), 16))
text = "\n".join("\t" + " ".join(f"{byte}," for byte in row) for row in rows)
Path(target).write_text(f"static const unsigned char {name}[{len(data)}] = {{\n{text}\n}};\n")
