// The models have the sizes of the papers: parameters, and multiply-adds per image, layer by layer as the plan of a
// training iteration counts them.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "apps/trainer.h"

namespace poise {
namespace {

// Multiply-adds of one image's forward pass through the convolutions and linear layers of one network, by layer.
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

  const TrainerOptions options{.batch_size_d = 8, .batch_size_g = 16, .n_critic = 5};
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
