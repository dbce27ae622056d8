// train_gan --tensorboard: complete records with the numbers of train.jsonl and the pictures of samples/, without
// duplicates after a resume. bench/peers/check_tensorboard.py checks that TensorBoard's own reader agrees.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/io/event_file.h"
#include "tests/support/program_test_tools.h"
#include "tests/support/protobuf_fields.h"

namespace poise {
namespace {

using test::fields_of;
using test::ProtobufField;
using test::small_run;
using test::TemporaryFolder;

// CRC-32C computed bit by bit, rotated by 15 bits and offset by a constant, as the format specifies.
uint32_t masked_crc(const std::string& bytes) {
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc % 2 == 1 ? 0x82f63b78u : 0u);
  }
  crc ^= 0xffffffff;
  return ((crc << 17) | (crc >> 15)) + 0xa282ead8u;
}

template <class T>
T number(const std::string& bytes, size_t at = 0) {
  T value{};
  if (at + sizeof value <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::vector<double> doubles(const std::string& bytes) {
  std::vector<double> values;
  for (size_t at = 0; at < bytes.size(); at += 8) values.push_back(number<double>(bytes, at));
  return values;
}

struct Events {
  std::map<std::pair<std::string, uint64_t>, std::vector<float>> scalars;  // by tag and step
  std::map<std::pair<std::string, uint64_t>, std::vector<std::string>> pictures, histograms;
  std::vector<uint64_t> restarts;
};

void read_value(const std::string& bytes, uint64_t step, Events& events) {
  std::string tag;
  for (const ProtobufField& field : fields_of(bytes)) {
    if (field.number == 1) tag = field.bytes;
    if (field.number == 2) events.scalars[{tag, step}].push_back(number<float>(field.bytes));
    if (field.number == 4) events.pictures[{tag, step}].push_back(field.bytes);
    if (field.number == 5) events.histograms[{tag, step}].push_back(field.bytes);
  }
}

void read_event(const std::string& bytes, bool first, Events& events) {
  uint64_t step = 0;
  std::string version;
  for (const ProtobufField& field : fields_of(bytes)) {
    if (field.number == 1) {
      EXPECT_GT(number<double>(field.bytes), 1.7e9) << "seconds since 1970";
    }
    if (field.number == 2) step = field.value;
    if (field.number == 3) version = field.bytes;
    if (field.number == 5)
      for (const ProtobufField& value : fields_of(field.bytes)) read_value(value.bytes, step, events);
    if (field.number == 7) events.restarts.push_back(step);
  }
  EXPECT_EQ(version, first ? "brain.Event:2" : "");
}

// Reads all event files of a run, in the order of their names.
Events events_of(const std::string& run) {
  Events events;
  for (const std::string& name : test::names_in(run)) {
    if (!name.starts_with("events.out.tfevents.")) continue;
    const std::string bytes = test::read_bytes(run + "/" + name);
    for (size_t at = 0; at < bytes.size();) {
      const auto size = number<uint64_t>(bytes, at);
      EXPECT_EQ(number<uint32_t>(bytes, at + 8), masked_crc(bytes.substr(at, 8))) << name << " at byte " << at;
      if (size > bytes.size() - at - 16) {
        ADD_FAILURE() << name << " ends within a record";
        return events;
      }
      const std::string event = bytes.substr(at + 12, size);
      EXPECT_EQ(number<uint32_t>(bytes, at + 12 + size), masked_crc(event)) << name << " at byte " << at;
      read_event(event, at == 0, events);
      at += size + 16;
    }
  }
  return events;
}

// Every number of train.jsonl is present once, as a float, and there are no others.
void expect_train_lines(const Events& events, const std::string& run) {
  std::map<std::pair<std::string, uint64_t>, std::vector<float>> expected;
  std::istringstream lines(test::read_bytes(run + "/train.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto object = nlohmann::json::parse(line);
    const auto step = object["iteration"].get<uint64_t>();
    if (object.value("event", "") == "mask_update") {
      const std::string group = object["network"] == "G" ? "density_g/" : "density_d/";
      for (const auto& [layer, density] : object["layers"].items())
        expected[{group + layer, step}].push_back(density.get<float>());
    } else if (!object.contains("event")) {
      for (const auto& [key, value] : object.items())
        if (key != "iteration" && key != "schema")
          expected[{"train/" + key, step}].push_back(value.is_null() ? NAN : value.get<float>());
    }
  }
  ASSERT_FALSE(expected.empty());
  EXPECT_EQ(expected.size(), events.scalars.size());
  for (const auto& [tag, values] : expected) {
    const auto found = events.scalars.find(tag);
    ASSERT_NE(found, events.scalars.end()) << tag.first << " at " << tag.second;
    ASSERT_EQ(found->second.size(), values.size()) << tag.first << " at " << tag.second;
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_TRUE(found->second[i] == values[i] || (std::isnan(found->second[i]) && std::isnan(values[i])))
          << tag.first << " at " << tag.second << ": " << found->second[i] << " but " << values[i];
    }
  }
}

TEST(TensorBoard, ChecksumsAreCastagnolis) {
  EXPECT_EQ(masked_crc32c("123456789"), (0xe3069283u >> 15 | 0xe3069283u << 17) + 0xa282ead8u);  // the check value
  EXPECT_EQ(masked_crc32c(""), 0xa282ead8u);
}

TEST(TensorBoard, SharesCountEachValueOnce) {
  const TemporaryFolder folder;
  EventFile(folder / "events.out.tfevents.1").shares(7, "x", std::vector<double>{0, 0.25, 0.2500001, 1, 1}, 4);
  const Events events = events_of(folder.path());
  ASSERT_EQ(events.histograms.size(), 1u);
  const auto& [key, histograms] = *events.histograms.begin();
  EXPECT_EQ(key, std::make_pair(std::string("x"), uint64_t{7}));
  std::vector<double> ends, counts, plain;
  for (const ProtobufField& field : fields_of(histograms.at(0))) {
    if (field.number == 6) ends = doubles(field.bytes);
    if (field.number == 7) counts = doubles(field.bytes);
    if (field.number < 5) plain.push_back(number<double>(field.bytes));
  }
  EXPECT_EQ(ends, (std::vector<double>{0.25, 0.5, 0.75, 1}));
  EXPECT_EQ(counts, (std::vector<double>{2, 1, 0, 2}));
  ASSERT_EQ(plain.size(), 4u);
  const double sum = plain.back();
  plain.pop_back();
  EXPECT_EQ(plain, (std::vector<double>{0, 1, 5}));  // minimum, maximum, count
  EXPECT_DOUBLE_EQ(sum, 2.5000001);
}

TEST(TensorBoard, ShowsWhatTheRunRecordedAlsoAfterACrash) {
  const TemporaryFolder folder;
  const auto train = [&](std::vector<std::string> arguments) {
    const auto result = test::run_program_in({.folder = folder.path()}, POISE_TRAIN_GAN, arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  };
  const std::string run = folder / "runs/latest";
  train(small_run({"--tensorboard", "--iterations", "6", "--method", "sdst-set", "--density-g", "0.3", "--width-g",
                   "16", "--width-d", "16", "--update-every-g", "2", "--sample-every", "2", "--eval-every", "3",
                   "--set", "eval_metric=swd"}));
  Events events = events_of(run);
  std::vector<float> metrics;
  std::erase_if(events.scalars, [&](const auto& each) {
    const bool metric = each.first.first == "metrics/swd";
    if (metric) metrics.push_back(each.second.at(0));
    return metric;
  });
  EXPECT_EQ(metrics.size(), 2u);
  expect_train_lines(events, run);
  EXPECT_TRUE(events.restarts.empty());
  EXPECT_GE(events.histograms.size(), 3u);
  const std::pair<const char*, uint64_t> pictures[] = {
      {"fakes", 0}, {"fakes", 2}, {"fakes", 4}, {"fakes", 6}, {"reals", 0}};
  for (const auto& [what, step] : pictures) {
    const auto& found = events.pictures[{std::string("samples/") + what, step}];
    ASSERT_EQ(found.size(), 1u) << what << " at " << step;
    const std::string file = what == std::string("reals") ? "reals.png" : "fakes_00000" + std::to_string(step) + ".png";
    std::string png;
    std::vector<uint64_t> sides;
    for (const ProtobufField& field : fields_of(found[0])) {
      if (field.number == 4) png = field.bytes;
      if (field.number < 4) sides.push_back(field.value);
    }
    EXPECT_TRUE(png == test::read_bytes(run + "/samples/" + file)) << file;
    EXPECT_EQ(sides, (std::vector<uint64_t>{134, 134, 3}));  // 2 x 2 images of 32 pixels, doubled, with padding of 2
  }

  // The state after a crash: iterations beyond the last checkpoint, and an incomplete record.
  std::filesystem::remove(run + "/checkpoints/" + test::names_in(run + "/checkpoints").back());
  for (const std::string& name : test::names_in(run)) {
    if (!name.starts_with("events.")) continue;
    const std::string bytes = test::read_bytes(run + "/" + name);
    test::write_bytes(run + "/" + name, bytes.substr(0, bytes.size() - 5));
  }
  train({"--resume", run, "--iterations", "7", "--eval-every", "0"});
  events = events_of(run);
  std::erase_if(events.scalars, [](const auto& each) { return each.first.first == "metrics/swd"; });
  expect_train_lines(events, run);
  ASSERT_EQ(events.restarts.size(), 1u);
  EXPECT_EQ(events.restarts[0], 6u);  // the remaining checkpoint is of iteration 5
}

}  // namespace
}  // namespace poise
