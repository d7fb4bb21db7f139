// muster: images in, batches of one proved shape out.
//
// Headers from the outside in: loader, preview, batch, stats, pipeline, stage, transform, geometry, optimize, decode,
// ledger, order, tar, files, http, source, report, trace, spec, image, tensor, random, error. Each is the manual of its
// part.
#pragma once

#include "muster/batch.hpp"
#include "muster/decode.hpp"
#include "muster/error.hpp"
#include "muster/files.hpp"
#include "muster/geometry.hpp"
#include "muster/http.hpp"
#include "muster/image.hpp"
#include "muster/ledger.hpp"
#include "muster/loader.hpp"
#include "muster/optimize.hpp"
#include "muster/order.hpp"
#include "muster/pipeline.hpp"
#include "muster/preview.hpp"
#include "muster/random.hpp"
#include "muster/report.hpp"
#include "muster/source.hpp"
#include "muster/spec.hpp"
#include "muster/stage.hpp"
#include "muster/stats.hpp"
#include "muster/tar.hpp"
#include "muster/tensor.hpp"
#include "muster/trace.hpp"
#include "muster/transform.hpp"
#include "muster/version.hpp"
