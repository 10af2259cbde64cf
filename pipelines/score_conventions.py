"""What the tables of an evaluation mean, as text for whoever opens them."""

from sliceweave.pipelines.agreement import LIMITS_SD
from sliceweave.pipelines.mean_interval import LEVEL, RESAMPLES, SEED

CONVENTIONS = f"""\
cases.csv has a row per study and label, summary.csv one per label and metric, failed.csv the studies without scores.
Volumes are in ml, distances in mm. A study that failed counts nowhere else.

Empty masks
truth and prediction empty   dice, iou, precision, recall, lesion_sensitivity 1;
                             rvd and distances 0
only the prediction empty    dice, iou, precision, recall, lesion_sensitivity 0;
                             rvd -1; distances the diagonal of the scan
only the truth empty         the same, but rvd +1
So every study counts in every mean. A label that occurs in neither mask of a study counts as two empty masks.

cases.csv
Overlap counts voxels. accuracy is the share of the scan's voxels on which it is right whether they belong to the
label. mean_iou is the mean over all classes of the case, background included; it stands in each of the case's rows.
rvd is (predicted - true) / true volume, abs_rvd its absolute value, volume_error_ml predicted - true volume.
Distances are between surface voxels, where they lie in the patient: voxels of the mask with a face neighbour outside
it, or at the end of the scan. hd_mm is the largest one, hd95_mm the larger of the two directed 95th percentiles (linear
interpolation), assd_mm the mean over the voxels of both surfaces together.
A lesion is a 26-connected component. One of the truth is detected if a voxel of the prediction overlaps it; a
predicted one that overlaps none of the truth is a false positive.

summary.csv
sd is of a sample (n - 1), low and high are the extremes, q1 and q3 the quartiles (linear interpolation). ci95_low and
ci95_high are the {LEVEL:.0%} percentile bootstrap interval of the mean: {RESAMPLES:,} resampled cohorts, seed {SEED}.
Where a value belongs to the cohort, it stands under mean, and what follows is empty but for the number of cases:
volume_rmse_ml, volume_mae_ml, volume_bias_ml (mean of predicted - true); volume_limit_low_ml and volume_limit_high_ml
(limits of agreement, bias +- {LIMITS_SD} sd; 2 cases needed); volume_pearson_r, volume_ccc (Lin's concordance,
variances over n), volume_icc21 (ICC(2,1): two-way random, absolute agreement, single measurement). The last three need
3 cases, and volumes that vary on both sides.
pooled_dice, pooled_iou, pooled_precision and pooled_recall count the voxels of all cases together,
pooled_lesion_sensitivity their lesions; it is empty where the truth has none. false_positives_per_study is false
positive lesions over studies.
Rows of the label all: mean_iou and accuracy over all classes, and with several labels, case by case, the mean over the
labels of every other metric.
"""
