"""Every key, its default and its meaning.

The names are those of the released Bag of Tricks and NCL, so that their YAML files load unchanged; `[ours]` marks a
key that neither has. Where the two gave one key different defaults, the comment says which one was chosen.
"""

from yacs.config import CfgNode


def defaults() -> CfgNode:
    """Return a fresh tree holding the default of every key."""
    _C = CfgNode()

    # ------------------------------------------------------------------ run
    _C.NAME = "default"  # name of the experiment; a run is written to OUTPUT_DIR/NAME/<date-time>/
    _C.OUTPUT_DIR = "output"  # root of everything that is written (the releases had a home directory here)
    _C.RAND_SEED = 42  # seed of initialisation, order of samples, augmentation
    _C.VALID_STEP = 5  # judge every so many epochs; -1: after the last epoch only
    _C.SAVE_STEP = 5  # keep models/epoch_N.pth every so many epochs; -1: never. last.pth is written every epoch
    _C.SHOW_STEP = 20  # report every so many iterations
    _C.PIN_MEMORY = True  # page-locked batches, for faster copies to a GPU
    _C.INPUT_SIZE = (224, 224)  # height, width in pixels that transforms and the policies for large images make
    _C.COLOR_SPACE = "RGB"  # order of the image channels: RGB | BGR
    _C.RESUME_MODEL = ""  # checkpoint to start from (path); the command line's --resume goes first
    _C.RESUME_MODE = "all"  # all: continue that run | state_dict: take its weights only
    _C.EVAL_MODE = False  # train with frozen batch-norm statistics
    _C.CLASSES_NUM = 100  # not used, as in the release: the data say how many classes there are
    _C.DROPOUT = False  # dropout with p = 0.5 before every classifier

    # ------------------------------------------------------------------ data
    _C.DATASET = CfgNode()
    _C.DATASET.DATASET = "IMBALANCEDCIFAR10"  # annotations | cifar10_lt | cifar100_lt | digits_lt, or a released name
    _C.DATASET.ROOT = ""  # where relative fpath start, and the archives of CIFAR lie; empty: beside the annotation
    #                       file, and dataset/cifar
    _C.DATASET.TRAIN_JSON = ""  # annotation file of the training images; with cifar10_lt and cifar100_lt it may be
    #                             empty (the archive is used) or not (it goes before the archive)
    _C.DATASET.VALID_JSON = ""  # annotation file of the validation images
    _C.DATASET.TEST_JSON = ""  # [ours] annotation file of the test images, for any data set; empty: there is no third
    #                            split
    _C.DATASET.DOWNLOAD = True  # [ours] fetch the archives of CIFAR when they are not under ROOT
    _C.DATASET.VIEWS = []  # [ours] augmentation policy of each view: crop | crop_flip | autoaugment | simclr |
    #                        randaugment | regular | simclr_imagenet | transforms | none; empty: what the name of the
    #                        data set implies
    _C.DATASET.TEST_VIEW = ""  # [ours] none | transforms (TRANSFORMS.TEST_TRANSFORMS); empty: implied
    _C.DATASET.NORMALIZATION = ""  # [ours] channel means and deviations: cifar | imagenet | inaturalist | digits;
    #                                empty: implied
    _C.DATASET.ON_BAD_IMAGE = (
        "raise"  # [ours] an image file that cannot be read ends the run (raise), or the next image
    )
    #                                    of its class takes its place and the file is named and counted (skip)
    _C.DATASET.BAD_IMAGE_LIMIT = (
        10  # [ours] most files that skip may pass over: a few are accidents of a download, more
    )
    #                                  are a wrong ROOT or a failing disk
    _C.DATASET.CACHE = "none"  # [ours] image files larger than 64 pixels: decode from the disk each time (none), or
    #                            from their bytes, which are read into memory first (ram)
    _C.DATASET.ON_DEVICE = False  # [ours] keep images that are held in memory on the GPU, and augment them there; off,
    #                               because it has not been tried on one yet
    _C.DATASET.INTRA_N = 1  # NCL++: how many times an image is augmented, each time anew
    _C.DATASET.IMBALANCECIFAR = CfgNode()  # the rule that makes CIFAR and the digits long-tailed
    _C.DATASET.IMBALANCECIFAR.RATIO = 0.01  # smallest class / largest class = 1 / imbalance factor
    _C.DATASET.IMBALANCECIFAR.RANDOM_SEED = 0  # which images are kept
    _C.DATASET.IMBALANCECIFAR.KIND = "exp"  # [ours] shape of the tail: exp | step
    _C.DATASET.GENERATE_CAM_BASED_DATASET = False  # CAM-based sampling: make the images, then end
    _C.DATASET.USE_CAM_BASED_DATASET = False  # CAM-based sampling: let the weighted samplers draw them too
    _C.DATASET.CAM_DATA_JSON_SAVE_PATH = ""  # annotation file of the CAM images
    _C.DATASET.CAM_DATA_SAVE_PATH = ""  # folder of the CAM images
    _C.DATASET.CAM_NUMBER_THRES = 0  # classes at least this large get no CAM images, the others at most so many; not
    #                                  used for small images (CIFAR, digits), whose classes are all filled up
    _C.DATASET.CAM_RELEASED = (
        False  # [ours] True, as released: the map is of an augmented view, which does not lie over
    )
    #                                  the image, and the box ends at the object's second row and column; False: the
    #                                  map is the image's own, and the box holds the whole object

    _C.TRANSFORMS = CfgNode()  # the `transforms` policy (Bag of Tricks)
    _C.TRANSFORMS.TRAIN_TRANSFORMS = ("random_resized_crop", "random_horizontal_flip")  # in this order
    _C.TRANSFORMS.TEST_TRANSFORMS = ("shorter_resize_for_crop", "center_crop")  # in this order
    _C.TRANSFORMS.MULTI_AUG = False  # not used, as in the release
    _C.TRANSFORMS.PROCESS_DETAIL = CfgNode()
    _C.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP = CfgNode()
    _C.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING = 4  # pixels of black border before cropping
    _C.TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP = CfgNode()
    _C.TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP.SCALE = (
        0.08,
        1.0,
    )  # area of the crop / area of the image
    _C.TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP.RATIO = (0.75, 1.333333333)  # width / height of the crop

    # ------------------------------------------------------------------ network
    _C.BACKBONE = CfgNode()
    _C.BACKBONE.TYPE = "res50"  # backbone of a network with one expert: res32_cifar | res10 | res50 | res152 |
    #                          resnext50 | timm/<name of a model of timm>
    _C.BACKBONE.MULTI_NETWORK_TYPE = []  # backbone of each expert; empty: one expert with BACKBONE.TYPE (NCL's default
    #                                      was ['res32_cifar'], which would have changed every Bag of Tricks file)
    _C.BACKBONE.FREEZE = False  # keep the parameters of the backbones fixed, as the heads cRT and LWS always do
    _C.BACKBONE.FROZEN_STATISTICS = "still"  # [ours] batch norm of a frozen backbone: still (statistics stay, and it
    #                                          normalises by them) | moving (as released: by each batch's)
    _C.BACKBONE.PRETRAINED_MODEL = ""  # weights file for every backbone (torchvision names); must exist

    _C.MODULE = CfgNode()
    _C.MODULE.TYPE = "GAP"  # GAP: average over the feature map, where there is one | Identity: vectors already

    _C.CLASSIFIER = CfgNode()
    _C.CLASSIFIER.TYPE = "FC"  # FC | FCNorm (cosine) | cos (scaled cosine plus bias); second stages, which start from
    #                            NETWORK.PRETRAINED_MODEL: cRT (FC trained anew) | LWS (FC whose scales are trained)
    _C.CLASSIFIER.BIAS = True  # whether FC, cRT and LWS have a bias, and whether the bias of cos is trained
    _C.CLASSIFIER.COS_SCALE = 16.0  # scale of the cos head
    _C.CLASSIFIER.SEMI_TYPE = "mlp"  # projection head of the contrastive branch: mlp | FC | FCNorm | cos
    _C.CLASSIFIER.MULTI_NETWORK_TYPE = ["FC"]  # not used, as in the release
    _C.CLASSIFIER.NUM = 0  # not used, as in the release

    _C.NETWORK = CfgNode()
    _C.NETWORK.PRETRAINED = False  # start the whole network from PRETRAINED_MODEL
    _C.NETWORK.PRETRAINED_MODEL = ""  # checkpoint of this project, of NCL or of Bag of Tricks; must exist
    _C.NETWORK.LOAD_BACKBONE_ONLY = False  # not used, as in the release
    _C.NETWORK.MOCO = False  # contrastive branch with a momentum encoder; with TRAIN.COMBINER.TYPE contrastive
    _C.NETWORK.MOCO_RELEASED = False  # [ours] True, as released: key encoder and its projection head start from random
    #                                   weights of their own, and the head stays there; False: both start as copies of
    #                                   the trained ones and follow them
    _C.NETWORK.MOCO_K = 65536  # length of a queue, keys
    _C.NETWORK.MOCO_DIM = 128  # width of a key (the release repeated the queue length here; its files set 64, 1024)
    _C.NETWORK.MOCO_T = 0.07  # temperature
    _C.NETWORK.MA_MODEL_ALPHA = 0.999  # decay of the momentum encoder

    # ------------------------------------------------------------------ loss
    _C.LOSS = CfgNode()
    _C.LOSS.LOSS_TYPE = "CrossEntropy"  # name of the loss
    _C.LOSS.CostSensitiveCE = CfgNode()
    _C.LOSS.CostSensitiveCE.GAMMA = 1.0  # weight of class c: (n_min / n_c)^GAMMA
    _C.LOSS.ClassBalanceCE = CfgNode()
    _C.LOSS.ClassBalanceCE.BETA = 0.999  # effective number of samples
    _C.LOSS.ClassBalanceFocal = CfgNode()
    _C.LOSS.ClassBalanceFocal.BETA = 0.999
    _C.LOSS.ClassBalanceFocal.GAMMA = 0.5
    _C.LOSS.CrossEntropyLabelSmooth = CfgNode()
    _C.LOSS.CrossEntropyLabelSmooth.EPSILON = 0.1
    _C.LOSS.CrossEntropyLabelAwareSmooth = CfgNode()
    _C.LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_HEAD = 0.4  # smoothing of the largest class
    _C.LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_TAIL = 0.1  # smoothing of the smallest class
    _C.LOSS.CrossEntropyLabelAwareSmooth.SHAPE = "concave"  # between them: concave | linear | convex
    _C.LOSS.FocalLoss = CfgNode()
    _C.LOSS.FocalLoss.GAMMA = 2.0
    _C.LOSS.LDAMLoss = CfgNode()
    _C.LOSS.LDAMLoss.SCALE = 30.0
    _C.LOSS.LDAMLoss.MAX_MARGIN = 0.5  # margin of the smallest class
    _C.LOSS.CDT = CfgNode()
    _C.LOSS.CDT.GAMMA = 0.2
    _C.LOSS.SEQL = CfgNode()
    _C.LOSS.SEQL.GAMMA = 0.9  # probability that a tail class is left out of the denominator
    _C.LOSS.SEQL.LAMBDA = 0.005  # share of the training images below which a class is tail
    _C.LOSS.InfluenceBalancedLoss = CfgNode()
    _C.LOSS.InfluenceBalancedLoss.ALPHA = 1000.0
    _C.LOSS.DiVEKLD = CfgNode()
    _C.LOSS.DiVEKLD.POWER_NORM = False
    _C.LOSS.DiVEKLD.POWER = 0.5
    _C.LOSS.DiVEKLD.TEMPERATURE = 3.0
    _C.LOSS.DiVEKLD.ALPHA = 0.5  # share of the distillation term
    _C.LOSS.DiVEKLD.BASELOSS = "BalancedSoftmaxCE"  # loss on the labels (the release named one that does not exist)
    _C.LOSS.LogitAdjustment = CfgNode()  # [ours]
    _C.LOSS.LogitAdjustment.TAU = 1.0  # [ours] strength; 0: plain cross-entropy, 1: balanced softmax
    _C.LOSS.HCM_N = 5  # nested losses: hard classes per sample, its own class included
    _C.LOSS.HCM_MODE = "zero"  # [ours] classes that are not hard keep a logit of zero (zero, as released) or leave the
    #                            softmax (exclude, as in the paper)
    _C.LOSS.HCM_PER_EXPERT = False  # [ours] True: each expert (NCL++: on each view) chooses its own hard classes, as in
    #                                 the papers; False: the first expert chooses for all, as released
    _C.LOSS.HCM_PRIOR = "counts"  # [ours] what nested losses add to the logits: log n_c (counts, as released) or
    #                               log(n_c / N) (frequencies); it matters for HCM_MODE zero only
    _C.LOSS.CE_RATIO = 0.0  # nested losses: weight of the cross-entropy over all classes
    _C.LOSS.HCM_RATIO = 0.0  # weight of the cross-entropy over the hard classes
    _C.LOSS.CON_RATIO = 0.0  # weight of the contrastive loss
    _C.LOSS.MULTI_CLASIIFIER_LOSS = CfgNode()  # misspelt in the release; its files are to load
    _C.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR = 0.0  # weight of the distillation over all classes
    _C.LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM = 0.0  # weight of the distillation over the hard classes
    _C.LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS = 0  # [ours] epochs over which the distillation grows from nothing to its
    #                                                full weight; 0: full at once, as released

    # ------------------------------------------------------------------ training
    _C.TRAIN = CfgNode()
    _C.TRAIN.BATCH_SIZE = 32  # images per step: in all under DataParallel, per process under DistributedDataParallel
    _C.TRAIN.MAX_EPOCH = 60  # epochs, counted from 1
    _C.TRAIN.SHUFFLE = True  # a new order of the images every epoch
    _C.TRAIN.NUM_WORKERS = 8  # processes that decode image files; small images need none
    _C.TRAIN.DISTRIBUTED = False  # not used: the launcher (torchrun) says whether there are several processes
    _C.TRAIN.SYNCBN = False  # batch-norm statistics of all processes together, on GPUs (the releases: always)
    _C.TRAIN.APEX = False  # True in a Bag of Tricks file: fp16 through torch.amp (its default was True)
    _C.TRAIN.AMP = (
        "off"  # [ours] mixed precision: off | bf16 | fp16 | auto (bf16 where the hardware computes in it, else off)
    )
    _C.TRAIN.CHANNELS_LAST = True  # [ours] NHWC memory layout of images and convolutions
    _C.TRAIN.DETERMINISTIC = True  # [ours] choose deterministic cuDNN kernels, as both releases did
    _C.TRAIN.COMPILE = False  # [ours] torch.compile of each expert; needs a C++ compiler, and a while before the first
    #                           step. Off: on the CPU where it was tried, it gained no more than runs differ by
    _C.TRAIN.CUDA_GRAPH = "off"  # [ours] record a step once an epoch and replay it on one GPU, with the experts one
    #                              after another (loop) or all at once (streams); plain and nested training. Off,
    #                              because it has not been tried on one yet
    _C.TRAIN.CHECKPOINT_MINUTES = 10.0  # [ours] write last.pth inside an epoch when the newest one is older than this
    _C.TRAIN.TENSORBOARD = CfgNode()
    _C.TRAIN.TENSORBOARD.ENABLE = True  # curves for TensorBoard in the run directory
    _C.TRAIN.COMBINER = CfgNode()
    _C.TRAIN.COMBINER.TYPE = "default"  # training method: plain | nested | contrastive | mixup | manifold_mixup | remix
    #                                     | bbn_mixup | distillation, or a released name
    _C.TRAIN.COMBINER.ALPHA = 1.0  # mixups: an image's share of its mixture is drawn from Beta(ALPHA, ALPHA)
    _C.TRAIN.COMBINER.MANIFOLD_MIX_UP = CfgNode()
    _C.TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION = "pool"  # what is mixed: pool (the features) | fc (the logits) | the
    #                                                      outputs of a module of the backbone: layer1, ..., layer2.0
    _C.TRAIN.COMBINER.REMIX = CfgNode()
    _C.TRAIN.COMBINER.REMIX.KAPPA = 3.0  # a class so many times smaller than the other may take the whole label
    _C.TRAIN.COMBINER.REMIX.TAU = 0.5  # the larger class loses its label only if its image's share is below
    _C.TRAIN.COMBINER.REMIX.RELEASED = False  # [ours] True, as released: the shares of the labels are averaged over the
    #                                           batch; False: each mixture has its own, as in the paper
    _C.TRAIN.COMBINER.DIVE = CfgNode()
    _C.TRAIN.COMBINER.DIVE.TEACHER_MODEL = ""  # checkpoint of the teacher, a network of the student's form; must exist
    _C.TRAIN.TWO_STAGE = CfgNode()
    _C.TRAIN.TWO_STAGE.DRW = False  # deferred re-weighting: class weights act after START_EPOCH only
    _C.TRAIN.TWO_STAGE.DRS = False  # deferred re-sampling: the weighted sampler acts after START_EPOCH only
    _C.TRAIN.TWO_STAGE.START_EPOCH = 1  # last epoch without them
    _C.TRAIN.SAMPLER = CfgNode()
    _C.TRAIN.SAMPLER.TYPE = "default"  # default: every image once per epoch | weighted sampler: draw a class, then one
    #                                    of its images | bbn sampler: default, and a partner for each batch
    _C.TRAIN.SAMPLER.WEIGHTED_SAMPLER = CfgNode()
    _C.TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE = "balance"  # balance: all classes alike | square: as n_c^EXPONENT |
    #                                                     progressive: from n_c to balance over MAX_EPOCH
    _C.TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT = 0.5  # [ours] of square; n_c: training images of class c
    _C.TRAIN.SAMPLER.BBN_SAMPLER = CfgNode()
    _C.TRAIN.SAMPLER.BBN_SAMPLER.TYPE = "reverse"  # the partners' classes come as 1 / n_c
    _C.TRAIN.SAMPLER.MULTI_NETWORK_TYPE = ["default"]  # NCL, the first one counts: default (what TYPE says) |
    #                                                    weighted_balance | weighted_square (as n_c^0.25, which is what
    #                                                    its code computes) | weighted_progressive
    _C.TRAIN.OPTIMIZER = CfgNode()
    _C.TRAIN.OPTIMIZER.TYPE = "SGD"  # SGD (Nesterov) | ADAM
    _C.TRAIN.OPTIMIZER.BASE_LR = 0.001
    _C.TRAIN.OPTIMIZER.MOMENTUM = 0.9
    _C.TRAIN.OPTIMIZER.WEIGHT_DECAY = 1e-4  # on every parameter, batch norm and biases included
    _C.TRAIN.OPTIMIZER.CLIP_NORM = 0.0  # [ours] largest norm of the gradient, all parameters together; 0: no bound
    _C.TRAIN.LR_SCHEDULER = CfgNode()
    _C.TRAIN.LR_SCHEDULER.TYPE = "multistep"  # multistep | warmup (linear, then multistep) | cosine
    _C.TRAIN.LR_SCHEDULER.LR_STEP = [40, 50]  # epochs from which the rate is multiplied by LR_FACTOR
    _C.TRAIN.LR_SCHEDULER.LR_FACTOR = 0.1
    _C.TRAIN.LR_SCHEDULER.WARM_EPOCH = 5  # epochs of warm-up
    _C.TRAIN.LR_SCHEDULER.COSINE_DECAY_END = 0  # epoch at which the cosine ends; 0: MAX_EPOCH

    # ------------------------------------------------------------------ evaluation
    _C.TEST = CfgNode()
    _C.TEST.BATCH_SIZE = 32
    _C.TEST.NUM_WORKERS = 8
    _C.TEST.MODEL_FILE = ""  # checkpoint to judge: a path, or a file in RUN/models; empty: best_ensemble.pth
    _C.TEST.MANY_SHOT = 100  # [ours] classes with at least so many training images are "many"
    _C.TEST.FEW_SHOT = 20  # [ours] classes with at most so many are "few"
    _C.TEST.TAU_NORM = CfgNode()  # acts in main/valid.py; a training judges its network as it is
    _C.TEST.TAU_NORM.USE_TAU_NORM = False  # divide the class weights by their norm^TAU before judging
    _C.TEST.TAU_NORM.TAU = 1.0
    _C.TEST.TAU_NORM.KEEP_BIAS = True  # [ours] True, as released; False, as in the paper: the bias is dropped
    _C.TEST.LOGIT_ADJUSTMENT = 0.0  # [ours] post-hoc logit adjustment in main/valid.py: z_c - this * log(n_c / N)
    return _C
