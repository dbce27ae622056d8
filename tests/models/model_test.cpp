// The models have the sizes stated in the papers: parameters, and multiply-adds per image, layer by layer as counted in
// the plan of a training iteration.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "apps/report/training_cost.h"
#include "apps/training/trainer.h"
#include "tests/support/erk_tables.h"

namespace poise {
namespace {

// Multiply-adds of a network's convolutions and linear layers in the forward pass of one image, by layer.
std::map<std::string, double> macs_per_image(const TrainingPlan& plan, const std::string& network, double images) {
  std::map<std::string, double> macs;
  for (const Profile::Row& row : plan.layers.rows()) {
    const std::string op = row.work.op;
    if (row.work.pass != Pass::forward || (op != "conv2d" && op != "linear")) continue;
    if (row.layer.rfind(network + ".", 0) == 0) macs[row.layer] += row.work.flops / 2 / images;
  }
  return macs;
}

double sum(const std::map<std::string, double>& macs) {
  double total = 0;
  for (const auto& [layer, value] : macs) total += value;
  return total;
}

TEST(Sngan32, HasTheSizesOfThePaper) {
  GanModel model = make_model({});
  EXPECT_EQ(model.generator->parameter_count(), 4'276'739);
  EXPECT_EQ(model.discriminator->parameter_count(), 1'053'824);

  const TrainerOptions options{.train = {.batch_size_d = 8, .batch_size_g = 16, .device = Device::cpu}};
  const TrainingPlan plan = Trainer::plan(options, 2000);
  EXPECT_EQ(plan.parameters_g, 4'276'739);
  EXPECT_EQ(plan.parameters_d, 1'053'824);

  const auto g = macs_per_image(plan, "G", 5 * 8 + 16), d = macs_per_image(plan, "D", 5 * 16 + 16);
  EXPECT_EQ(g.size(), 11u);
  EXPECT_EQ(d.size(), 11u);
  EXPECT_DOUBLE_EQ(sum(g), 1'681'129'472);
  EXPECT_DOUBLE_EQ(sum(d), 272'072'832);
  EXPECT_DOUBLE_EQ(g.at("G.linear"), 524'288);
  EXPECT_DOUBLE_EQ(g.at("G.block2.conv1"), 37'748'736);
  EXPECT_DOUBLE_EQ(g.at("G.block3.shortcut"), 16'777'216);
  EXPECT_DOUBLE_EQ(g.at("G.block4.conv1"), 603'979'776);
  EXPECT_DOUBLE_EQ(g.at("G.conv_out"), 7'077'888);
  EXPECT_DOUBLE_EQ(d.at("D.block1.conv1"), 3'538'944);
  EXPECT_DOUBLE_EQ(d.at("D.block1.shortcut"), 98'304);
  EXPECT_DOUBLE_EQ(d.at("D.block2.shortcut"), 4'194'304);
  EXPECT_DOUBLE_EQ(d.at("D.block4.conv2"), 9'437'184);
  EXPECT_DOUBLE_EQ(d.at("D.linear"), 128);

  // One iteration: f_G (n_c B_D + 3 B_G) + f_D (6 n_c B_D + 2 B_G) multiply-adds, 0.444 TFLOP.
  EXPECT_NEAR(plan.flops, 0.444e12, 0.001e12);
}

TEST(Sngan32, WidthIsAParameter) {
  GanModel model = make_model({.width_g = 16, .width_d = 8, .latent_size = 4});
  EXPECT_EQ(model.generator->parameter_count(),
            16 * 16 * 4 + 16 * 16 + 3 * (2 * (16 * 9 * 16 + 16) + 16 * 16 + 16 + 4 * 16) + 2 * 16 + 3 * 9 * 16 + 3);
}

TEST(Sngan64, IsTheNetworkOf48PixelsWithOneMoreBlock) {
  const ModelOptions options = published_model("sngan64");
  const GanModel model = make_model(options);
  EXPECT_EQ(model.generator->image_shape, (Shape{64, 64, 3}));
  EXPECT_EQ(model.generator->parameter_count(), 12'220'675);
  EXPECT_EQ(model.discriminator->parameter_count(), 19'542'721);
  const ModelCost cost = model_cost(options);
  const auto macs = [](const NetworkCost& network) {
    double total = 0;
    for (const LayerCost& layer : network.layers) total += layer.macs;
    return total;
  };
  EXPECT_EQ(macs(cost.g), 1'955'332'096);
  EXPECT_EQ(macs(cost.d), 1'097'794'560);
}

struct PublishedSize {
  const char* model;
  int64_t parameters_g, maskable_g, macs_g, parameters_d, maskable_d, macs_d;
  int table_g, table_d;  // indices in erk_tables()
};
void PrintTo(const PublishedSize& size, std::ostream* out) { *out << size.model; }
// The two gates of biggan64, which the papers' code masks by accident, are not counted as maskable.
constexpr PublishedSize kPublished[] = {
    {"sngan32", 4'276'739, 4'266'752, 1'681'129'472, 1'053'824, 1'052'544, 272'072'832, 0, 1},
    {"sngan48", 4'878'083, 4'855'488, 827'375'616, 19'542'721, 19'536'768, 617'509'888, 2, 3},
    {"biggan32", 4'304'387, 4'266'752, 1'681'129'472, 4'207'361, 4'201'984, 1'081'016'576, 4, 5},
    {"biggan64", 17'335'204, 16'219'760, 3'083'960'960, 30'796'722, 30'533'280, 1'721'222'400, 6, 7}};

class PublishedModels : public testing::TestWithParam<PublishedSize> {};

TEST_P(PublishedModels, HaveTheSizesOfThePapers) {
  const PublishedSize& size = GetParam();
  const ModelOptions options = published_model(size.model);
  const GanModel model = make_model(options);
  EXPECT_EQ(model.generator->parameter_count(), size.parameters_g);
  EXPECT_EQ(model.discriminator->parameter_count(), size.parameters_d);
  const ModelCost cost = model_cost(options);
  for (const auto& [network, maskable, macs] :
       {std::tuple{&cost.g, size.maskable_g, size.macs_g}, {&cost.d, size.maskable_d, size.macs_d}}) {
    int64_t weights = 0;
    double total = 0;
    for (const LayerCost& layer : network->layers) {
      if (layer.masked(MaskableHead::masked_like_paper_code)) weights += layer.layer.shape.elements();
      total += layer.macs;
    }
    EXPECT_EQ(weights, maskable);
    EXPECT_EQ(total, static_cast<double>(macs));
  }
}

// Compares shape, multiply-adds and ERK densities of each layer, in any order of the layers.
TEST_P(PublishedModels, HaveTheLayersAndDensitiesOfThePapersTables) {
  const ModelCost cost = model_cost(published_model(GetParam().model));
  const auto tables = test::erk_tables();
  for (const auto& [network, index] : {std::pair{&cost.g, GetParam().table_g}, {&cost.d, GetParam().table_d}}) {
    const test::ErkTable& table = tables[static_cast<size_t>(index)];
    SCOPED_TRACE(table.network);
    std::vector<LayerCost> masked;
    std::vector<MaskableLayer> maskable;
    double other_macs = 0;
    for (const LayerCost& layer : network->layers) {
      if (!layer.masked(MaskableHead::masked_like_paper_code)) {
        other_macs += layer.macs;
        continue;
      }
      masked.push_back(layer);
      maskable.push_back(layer.layer);
    }
    EXPECT_EQ(other_macs, table.other_macs);
    std::vector<test::ErkRow> rows = table.rows;
    std::vector<std::vector<LayerDensity>> densities;
    for (const double d : test::kTableDensities)
      densities.push_back(layer_densities(maskable, DensityRule::erk, d, {}));
    for (size_t i = 0; i < masked.size(); ++i) {
      const auto found = std::find_if(rows.begin(), rows.end(), [&](const test::ErkRow& row) {
        return row.layer.shape == masked[i].layer.shape && row.macs == masked[i].macs;
      });
      ASSERT_NE(found, rows.end()) << masked[i].layer.path << " is in no row of the table";
      for (size_t d = 0; d < 4; ++d)
        EXPECT_NEAR(densities[d][i].density, found->density[d], 1e-4) << masked[i].layer.path;
      rows.erase(found);
    }
    for (const test::ErkRow& row : rows) ADD_FAILURE() << row.layer.path << " has no layer of ours";
  }
}

INSTANTIATE_TEST_SUITE_P(, PublishedModels, testing::ValuesIn(kPublished),
                         [](const auto& size) { return std::string(size.param.model); });

TEST(Models, TheOthersHaveTheSizesThatTheirHeadersSay) {
  const auto sizes = [](const char* name) {
    const GanModel model = make_model(published_model(name));
    return std::pair(model.generator->parameter_count(), model.discriminator->parameter_count());
  };
  EXPECT_EQ(sizes("sngan32-resnet"), std::pair(int64_t{4'276'739}, int64_t{1'053'824 + 1}));  // one more bias
  const int64_t g =
      128 * 16 * 512 + 16 * (512 * 256 + 256 * 128 + 128 * 64) + 2 * (512 + 256 + 128 + 64) + 9 * 64 * 3 + 3;
  const int64_t d = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 16 * (64 * 64 + 128 * 128 + 256 * 256) +
                    2 * (64 + 128 + 256) + 512 + 16 * 512 + 1;
  EXPECT_EQ(sizes("dcgan32"), std::pair(g, d));
  EXPECT_EQ(g, 3'804'739);
  EXPECT_EQ(d, 2'935'873);
}

// Checks which weights have no mask, by name.
TEST(Models, MasksLeaveConditionalMapsEmbeddingsAndGatesAlone) {
  const GanModel model = make_model({.name = "biggan64", .width_g = 8, .width_d = 8, .latent_size = 10, .classes = 3});
  std::vector<std::string> free_weights;
  for (Module* network :
       {static_cast<Module*>(model.generator.get()), static_cast<Module*>(model.discriminator.get())}) {
    network->for_each_parameter([&](Parameter& p) {
      if (p.shape.rank() > 1 && !is_maskable(p)) free_weights.push_back(network->path() + "." + p.path);
      if (p.path == "attention.gate") {
        EXPECT_FALSE(is_maskable(p));
      }
    });
  }
  std::vector<std::string> expected = {"G.shared.weight"};
  for (const char* block : {"block1", "block2", "block3", "block4"}) {
    for (const char* map : {"bn1.gain", "bn1.bias", "bn2.gain", "bn2.bias"}) {
      expected.push_back(std::string("G.") + block + "." + map + ".weight");
    }
  }
  expected.insert(expected.end(), {"D.linear.weight", "D.embedding.weight"});
  EXPECT_EQ(free_weights, expected);
}

// Shapes and element types agree in every op, even if activations are bf16.
TEST(Models, EachPlansAnIterationInEveryPrecision) {
  for (const std::string& name : model_names()) {
    SCOPED_TRACE(name);
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
      TrainerOptions options{.train = {.batch_size_d = 4, .batch_size_g = 2, .n_critic = 1}};
      options.model = published_model(name);
      options.train.device = Device::emulated;
      options.train.precision = precision;
      EXPECT_GT(Trainer::plan(options, 100).flops, 0) << name_of(precision);
    }
    const int64_t side = image_side_of(name);
    EXPECT_EQ(make_model(published_model(name)).generator->image_shape, (Shape{side, side, 3}));
  }
}

TEST(Models, EachSaysWhatItCannotBe) {
  const auto message = [](const ModelOptions& options) {
    try {
      make_model(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message({.name = "biggan32"}).find("set classes"), std::string::npos);
  EXPECT_NE(message({.name = "sngan48", .classes = 10}).find("not conditional"), std::string::npos);
  ModelOptions tiny = published_model("biggan64");
  tiny.width_d = 20;
  EXPECT_NE(message(tiny).find("multiples of 8"), std::string::npos);
  tiny = published_model("biggan64");
  tiny.latent_size = 128;
  EXPECT_NE(message(tiny).find("a multiple of 5"), std::string::npos);
}

TEST(Models, AnUnknownNameIsAUsageErrorThatListsTheKnownOnes) {
  try {
    make_model({.name = "sngan33"});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("sngan32"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace poise
