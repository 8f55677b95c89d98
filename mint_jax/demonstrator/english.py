"""The words of the platform in English; `spanish` has the same keys."""

VERDICTS = {
    "likely_used": "Likely used",
    "no_evidence": "No evidence of use",
    "cannot_tell": "Cannot tell",
}

# Why a verdict is what it is: `Finding.reason`.
REASONS = {
    "strong": "Both of the audit's tests are passed: rare among photos that were not used, and "
    "at least ten times as frequent among photos that were.",
    "weak_p": "Too many photos that were not used get a reaction like this one.",
    "weak_ratio": "The reaction is rare, but it is not shown to be ten times as frequent among "
    "photos that were used as among photos that were not.",
    "no_matched_non_members": "This audit has no unused photos from the same collection as the "
    "used ones, so it may recognise the collection instead of the use.",
    "audit_cannot_tell": "This model was audited, and the audit could not tell used photos from "
    "unused ones beyond what its controls explain.",
    "out_of_support": "Out of support: the photo is unlike the photos that this audit was tried "
    "on, so nothing that it measured holds for the photo.",
    "too_few_people": "This audit knows too few people to compare with: {needed} are needed.",
    "no_gate": "This audit did not fix which photos its verdicts hold for.",
    "other": "The audit gives no verdict on this photo.",
}

# What an audit is held against: `Controls.against`.
CONTROLS = {
    "pixels": "pixels alone, without a network",
    "random_network": "networks with random weights",
    "other_network": "a network that was not trained on these photos",
    "shuffled_labels": "labels at random",
}

# Why a request gets no answer, or a photo no findings: `Refused.code` and `PhotoError.code`.
ERRORS = {
    "too_large": "A photo is larger than the {limit} MB that are accepted.",
    "request_too_large": "The photos are together larger than the {limit} MB that are accepted.",
    "too_many_photos": "More than {limit} photos at one time are not accepted.",
    "no_photo": "No photo was chosen. Choose one, then press “Run MINT”.",
    "not_a_form": "Photos are expected as a form of type multipart/form-data, field “photos”.",
    "malformed": "The upload is incomplete or damaged. Please send it again.",
    "not_an_image": "This file is not a photo that can be read. JPEG, PNG and WebP are.",
    "unsupported": "This kind of image is not accepted. JPEG, PNG and WebP are.",
    "animated": "Moving images are not accepted. Please send a single photo.",
    "damaged": "This photo is damaged or incomplete, and cannot be read.",
    "unreadable": "This photo cannot be read.",
    "too_many_pixels": "This photo has too many pixels. Please send a smaller copy.",
    "face_too_small": "The face in this photo is too small to be examined.",
    "no_face": "No face was found in this photo.",
    "too_many_faces": "There are too many faces. Please send photos of fewer people, or cut out "
    "the face that you ask about.",
    "no_face_chosen": "No face is chosen. Choose one, then press “Run MINT”.",
    "one_face_each": "You say that all photos show one person: choose one face of each photo at "
    "most.",
    "sealed": "These faces can no longer be examined: the page is too old, or what it sent was "
    "changed. Please choose your photos again.",
    "too_many_requests": "You have sent many photos in a short time. Please wait a little.",
    "busy": "The platform is busy. Please try again in a few seconds.",
    "timeout": "This took too long, and was given up. Please try again, with fewer photos.",
    "starting": "The platform is starting. Please try again in a moment.",
    "not_found": "There is no such page.",
    "method_not_allowed": "This address does not take that kind of request.",
    "bad_request": "This request is not understood.",
    "internal": "Something went wrong on our side. Your photos were not kept.",
}

TEXT = {
    "title": "Membership Inference Test",
    "tagline": "Was this photo used to train that face recognition network?",
    "skip": "Skip to the content",
    "languages": "Language",
    "home_intro": "Upload photos of a face. For each audited network you see how strong the "
    "evidence is that this very image was used to train it, and you can take a report home.",
    "privacy": "Your photos stay in memory while they are examined, and are gone afterwards. "
    "They are never stored, and no one else is asked.",
    "choose_title": "Your photos",
    "choose": "Choose photos",
    "choose_hint": "JPEG, PNG or WebP; up to {photos} photos, {megabytes} MB each.",
    "drop": "Or drop photos here.",
    "camera": "Take a photo",
    "person": "These photos all show one person",
    "person_hint": "Then the evidence of all photos is combined as well. Copies and crops of one "
    "photo count once; where a photo shows several faces, you choose one.",
    "run": "Run MINT",
    "asking": "Asking every network. This can take up to a minute.",
    "running": "Finding faces and asking every network. This can take up to a minute.",
    "chosen": "Chosen",
    "examples_title": "Or try these",
    "examples_intro": (
        "People of whom it is known whether their photos were used; nobody chose them by what the "
        "audit says of them. One photo seldom suffices, several of one person say more."
    ),
    "example_member": "These photos were used to train the network.",
    "example_non_member": "No photo of this person was used to train the network.",
    "example_name": "Person {name}",
    "example_run": "Run MINT on the photos of person {name}",
    "example_truth": "The truth about this example",
    "models_title": "Networks that are audited here",
    "how_title": "How to read a verdict",
    "how": [
        "“Likely used” is said only if a reaction like this one is rare among comparable photos "
        "that were not used (corrected p-value of .01 or less), at least ten times as frequent "
        "among photos that were used, and the audit could compare with unused photos of the same "
        "collection.",
        "“No evidence of use” does not mean that the photo was not used: audits miss used photos, "
        "often most of them.",
        "“Cannot tell” means that this audit can say nothing about this photo; the reason stands "
        "beside it.",
    ],
    "results_title": "Results",
    "finished": "Finished. Photos: {photos}. Faces: {faces}. Networks: {models}.",
    "download_html": "Download the report (to read and print)",
    "download_json": "Download the data (JSON)",
    "download_hint": "The report holds the hashes of your photos, never the photos. It exists "
    "nowhere else: what you do not download is gone when you close this page.",
    "again": "Examine other photos",
    "together_title": "All photos together",
    "together_intro": "The photos are taken to show one person. The examined face of each of the "
    "{photos} photos counts; copies and crops of one photo count once. The verdict is about "
    "whether any photo of this person was used, these or others.",
    "photo": "Photo {number}",
    "face": "Face {number} of {count}",
    "one_face": "The face that was found",
    "largest": "the largest",
    "face_alt": "Face {number}, as the networks see it",
    "examined": "Faces examined, as you chose: {chosen} of the {found} that were found in this "
    "photo.",
    "choice_title": "Which faces?",
    "choice_intro": "Several faces were found. Choose those that you ask about, then press “Run "
    "MINT”. The largest of each photo is chosen already.",
    "choice_kept": "Nothing is kept here while you choose. The faces that were found are in this "
    "page, encrypted, and can be examined for {hours} hours, unless the platform is restarted.",
    "rarer": "This model reacts to your photo as it does to fewer than 1 in {n} comparable photos "
    "that were not used.",
    "common": "This model reacts to your photo as strongly as it does to up to {n} in 100 "
    "comparable photos that were not used.",
    "rarer_together": "This model reacts to these photos together as it does to fewer than 1 in "
    "{n} comparable people whose photos were not used.",
    "common_together": "This model reacts to these photos together as strongly as it does to up "
    "to {n} in 100 comparable people whose photos were not used.",
    "counted": "Different photos that count: {photos}.",
    "found": "Of 100 photos that were used, this audit finds about {n} by such a verdict: no "
    "evidence does not mean that the photo was not used.",
    "found_unknown": "It is not known how many of 100 photos that were used this audit would "
    "find: no evidence does not mean that the photo was not used.",
    "found_together": "Of 100 people of whom {photos} used photos are shown together, this audit "
    "finds about {n} by such a verdict: no evidence does not mean that no photo of this person was "
    "used.",
    "found_unknown_together": "It is not known how many people this audit would find by so many "
    "photos: no evidence does not mean that no photo of this person was used.",
    "no_figures": "The figures below support no verdict.",
    "ratio": "Likelihood ratio",
    "ratio_value": "{value} (between {low} and {high})",
    "ratio_hint": "how many times as frequent this score is among used photos as among unused ones",
    "ratio_hint_together": "how many times as frequent this score is among people whose photos "
    "were used as among others",
    "p_value": "p-value",
    "p_hint": "how often an unused photo gets a score as high as this, corrected for the number of "
    "networks; it is not the probability that the photo was not used",
    "p_hint_together": "how often people whose photos were not used get a score as high as this, "
    "corrected for the number of networks; it is not the probability that no photo was used",
    "score": "Score",
    "score_hint": "what the auditor gives, from 0 to 1; it is not a probability that the photo was "
    "used",
    "none": "not given",
    "plot_used": "used",
    "plot_unused": "not used",
    "plot_you": "this photo",
    "plot": "The score {score} is higher than those of {others} in 100 photos of this audit that "
    "were not used, and of {members} in 100 that were.",
    "controls": "Controls of this audit",
    "controls_passed": "Of 100 used photos it finds at least {points} more (lower 95% bound) than "
    "the closest control, which cannot know what was used: {against}.",
    "controls_failed": "It does not pass them, and says:",
    "card": "About this model and its audit",
    "layers": "Layers read",
    "training": "Known of its training",
    "matched": "Unused photos of the same collection",
    "yes": "yes",
    "no": "no",
    "finds": "Used photos that are found",
    "power_value": "about {found} in 100, while {fpr} in 100 unused photos are taken for used ones",
    "power_unknown": "not known",
    "headline": "What the audit says",
    "model_hash": "SHA-256 of the model",
    "auditor_hash": "SHA-256 of the auditor",
    "photo_hash": "SHA-256 of the photo",
    "error_title": "This did not work",
    "back": "Back to the start",
    "report_title": "MINT report",
    "report_date": "Date (UTC)",
    "report_scope": "What this report says",
    "report_statements": [
        "It says how audited networks react to the image files whose SHA-256 hashes it gives, and "
        "what such reactions are worth as evidence that these very files were used for training. "
        "It says nothing about who is shown, nor about other images of the same people, but for "
        "“All photos together”: that asks whether any photo of the person was used, these or "
        "others.",
        "“Likely used”: the corrected p-value is .01 or less, the lower bound of the likelihood "
        "ratio is 10 or more, and the audit compared with unused photos of the same collection. "
        "Up to 1 in 100 comparable photos that were not used can get such a p-value. Each face is "
        "judged by itself: whoever asks about many has to expect one by chance.",
        "“No evidence of use” is not evidence that an image was not used: beside it stands how "
        "many of 100 used images the audit finds.",
        "“Cannot tell”: no statement is made, and none follows from the figures.",
        "A p-value is not the probability that the image was not used. A likelihood ratio is not "
        "the odds that it was: those depend also on everything else that is known of the case, "
        "which this report does not judge.",
        "This report was made by a program, is not signed, and proves nothing about how the image "
        "files came about.",
    ],
    "report_findings": "Findings",
    "report_models": "Models and audits",
    "report_box": "Left, top, right and bottom of the face, in pixels of the upright photo",
    "report_verify": "How to check it",
    "report_verify_photo": "The image file must have the hash of this report:",
    "report_verify_score": "The same audit, run on a folder with this file, must give the same "
    "score of the face that it reads: of several, a large one near the middle. MODEL and AUDITOR "
    "are the model and the exported auditor with the hashes of this report:",
}
