#!/bin/sh
# Makes the headers' comments Doxygen's: the first block is the file's, those behind members are the members'.
sed -e '1s|^// |/// @file\n/// |' -e '2,/^#pragma once/s|^//|///|' -e 's|\([;,}]\)  // |\1  ///< |' "$1"
