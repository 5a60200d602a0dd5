#!/bin/sh
# Prints the browser for the browser tests: AFTERIMAGE_CHROMIUM, else the first that is installed; else nothing.
if [ -n "${AFTERIMAGE_CHROMIUM:-}" ]; then
    echo "$AFTERIMAGE_CHROMIUM"
    exit
fi
for name in chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Chromium.app/Contents/MacOS/Chromium" \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if command -v "$name"; then exit; fi
done
