// BigGAN (Brock et al. 2019) for small images, as the sparse-GAN papers train it: class-conditional batch norm in G, a
// projection discriminator (Miyato and Koyama 2018), spectral norm in both.
//
//   biggan32   32x32. The first layer takes all of z; batch norm looks up scales and shifts in tables with a row per
//              class. No attention. Width 256: G 4,304,387 and D 4,207,361 parameters for 10 classes.
//   biggan64   64x64. z is split into five chunks: one for the first layer, and one for the batch norms of each of four
//              blocks, together with a class embedding that all blocks share. Self-attention at 32x32 in G and D.
//              Width 80: G 17,335,204 and D 30,796,722 parameters for 200 classes.
//
// Never masked: the tables and maps of conditional batch norm, embeddings, the attention gate, and biggan32's last
// linear layer.
//
// Names in the papers' code (biggan.32 and big_resnet.64), for copying weights from there. Convolution weights there
// are [out,in,kh,kw], ours are [out,kh,kw,in]; the rows of the first linear layer are ordered by (c,h,w) there, by
// (h,w,c) here; spectral norm's v has the order of its weight. Under spectral norm, weight, u and v are called
// weight_orig, weight_u and weight_v there; batch norm's gamma and beta are called weight and bias.
//
//   biggan32           biggan.32                     biggan64            big_resnet.64
//   G linear           linear                        G shared            shared
//     block1..3        blocks.0..2                     linear            linear0
//       .bn1 .bn2        .bn1 .bn2                     block1..4         block0..3
//       .conv1 .conv2    .conv1 .conv2                   .bn1 .bn2         .bn1 .bn2
//       .shortcut        .shortcut                       .conv1 .conv2     .conv2d1 .conv2d2
//     bn_out           output: batch norm                .shortcut         .conv2d0
//     conv_out         output: convolution             attention         attn: theta, phi, g, o and its gate
//   D block1..4        blocks.0..3                     bn_out, conv_out  the last batch norm, conv2d5
//     linear           classifier                    D block1..5         block0..4, layers named as in G
//     embedding        embedding                       attention         attn
//                                                      linear, embedding linear1, embedding
//
// The .gain and .bias of a conditional norm have the same names there.
#pragma once
#include "models/registry.h"
#include "models/residual_blocks.h"

namespace poise {

class BigGan32Generator : public Generator {
 public:
  BigGan32Generator(int64_t width, int64_t latent_size, int64_t classes);
  Var operator()(Var z, const Tensor& labels) override;

  Linear linear;
  ConditionalGenBlock block1, block2, block3;
  BatchNorm2d bn_out;
  Conv2d conv_out;

 private:
  int64_t width_;
};

// linear(h) + <embedding[label], h>,  h = sum over space of relu(blocks(x))  [N,width].
class BigGan32Discriminator : public Discriminator {
 public:
  BigGan32Discriminator(int64_t width, int64_t classes);
  Var operator()(Var x, const Tensor& labels) override;

  DisBlock block1, block2, block3, block4;
  Linear linear;
  Embedding embedding;
};

class BigGan64Generator : public Generator {
 public:
  static constexpr int64_t kChunks = 5;             // parts of z: one for the first layer, one for each of four blocks
  static constexpr int64_t kSharedDimension = 128;  // size of the class embedding

  BigGan64Generator(int64_t width, int64_t latent_size, int64_t classes);
  Var operator()(Var z, const Tensor& labels) override;

  Embedding shared;
  Linear linear;
  ConditionalGenBlock block1, block2, block3;  // channels 16 -> 8 -> 4 -> 2 times the width
  SelfAttention attention;
  ConditionalGenBlock block4;  // -> width
  BatchNorm2d bn_out;
  Conv2d conv_out;

 private:
  int64_t width_, chunk_;
};

class BigGan64Discriminator : public Discriminator {
 public:
  BigGan64Discriminator(int64_t width, int64_t classes);
  Var operator()(Var x, const Tensor& labels) override;

  DisBlock block1;
  SelfAttention attention;
  DisBlock block2, block3, block4, block5;
  Linear linear;
  Embedding embedding;
};

}  // namespace poise
