#include "interop/onnx_plugin.hpp"

#include "muster/interop/onnx.hpp"
#include "muster/version.hpp"

namespace muster {
namespace {

class Model : public CheckedModel {
 public:
  Model(const std::string& path, const std::string& input) : model_(path, input) {}
  const InputSpec& input() const override { return model_.input(); }
  const std::string& input_name() const override { return model_.input_name(); }
  Trace trace(const BatchSpec& batch, std::int64_t num_rows) const override { return model_.trace(batch, num_rows); }

 private:
  OnnxModel model_;
};

}  // namespace
}  // namespace muster

extern "C" __attribute__((visibility("default"))) const muster::OnnxPlugin* muster_onnx_plugin() {
  static const muster::OnnxPlugin plugin = {
      .version = muster::version,
      .open = [](const std::string& path, const std::string& input) -> std::unique_ptr<muster::CheckedModel> {
        return std::make_unique<muster::Model>(path, input);
      }};
  return &plugin;
}
