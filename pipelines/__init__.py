"""Verbs: the only place that touches files, devices, processes and the command line.

Its rooms, from the ground up. A module imports from its own room and from those before it alone.

What everything stands on:
    errors options typed_options named_paths atomic bounded_file file_names file_stamps folders cells columns csv_rows
    tables pictures video_frames lettering processes bundles
A scan's grid, and what its voxels say:
    geometry_checks slice_gaps geometry grid_match screen intracranial findings
Studies and masks, read from files:
    volume_checks study_source study_csv studies nifti_headers nifti_files itk_files reading label_maps mask_sources
From masks to numbers:
    tada volumetry rows measuring small_lesions lesion_shape skull_distance reference_volumes surface_sweep
    surface_distances lesion_detection member_counts
Pictures of one study:
    tiles montage
Cases of a data set, and the volumes in its files:
    cases volume_stacks volume_pairs stack_files slice_spacing slice_pictures loose_pages
DICOM series as cases:
    dicom_headers dicom_choice dicom_checks dicom_geometry dicom_gaps dicom_pixels dicom_stack dicom_series dicom_source
    dicom_codes
Data sets as they are distributed:
    plain_volumes nifti_sets eight_bit_ct covid_ct ct_ich_windows ct_ich_slices ct_ich oai_zib camus chord_tracings
    echonet labelme labelme_files labelme_masks labelme_studies study_kind
Data sets brought into one layout:
    prepare_tasks conversion splits patients prepared_folder prepare_outcome prepare_options prepare prepare_pictures
Data sets that are generated or painted:
    generated_sets phantom* painting_options painted_study painting
Scores of masks and volumes:
    scoring agreement mean_interval score_summary score_conventions score_tables strata strata_tables strata_report
    evaluation conformal calibration
Networks with weights, at work:
    wider_weights checkpoints model folding openvino_network acceleration inferers tta
Training:
    sampling cuts volume_files volume_cache datasets averaging batch_norm training_logs
Records of studies, and the tables made of them:
    study_report records record_folder record_writer earlier_tables run_record report rebuild
The report page:
    flag_meanings page_templates page_tables page_slices page_folder page_view page_viewer page
Masks that are already there:
    mask_measuring mask_volumes mask_evaluation
Results as DICOM:
    dicom_objects dicom_out dicom_results
A bundle's run, and cohorts of them:
    conduct background_threads study_reader inference cohort_jobs cohort_recipe cohort_study cohort_serving
    cohort_workers ray_worker cohort cohort_ray
Networks compared:
    printed_tables contenders network_table comparison_conditions comparison_split comparison_settings comparison_run
    comparison_process comparison comparison_table
Figures:
    figure_style figure_agreement figure_boxes figure_curves case_values figures contour_panels contour_rows contours
    training_curves
The command line:
    cli*
"""
