---@meta clipeval
-- The API of clipeval, for editors that read LuaCATS annotations (lua-language-server).
--
-- Two rules hold throughout. Misuse raises: a wrong argument, a model or dataset that cannot
-- be opened, a list with a hole (a misspelt name is nil), a label that is no class; the
-- message begins with the script's file and line, or with the file alone where the call is a
-- tail call (`return clip.zeroshot {...}`).
-- One picture that cannot be read does not: it is nil and a message, or an entry of
-- `problems`. Numbers of rows, columns and classes count from 1, as everywhere in Lua;
-- coordinates of pixels count from 0. Relative paths begin at the directory in which the
-- program was started, unless said otherwise.
--
-- What a run writes: report.csv, classes.csv, predictions.csv, problems.csv and run.json. With
-- several evaluations every CSV but report.csv begins with the column `evaluation`: its number
-- in run.json's list. A run that was interrupted, or whose script raised, writes what was
-- finished; of the evaluation that Ctrl-C cut short also the predictions and problems so far,
-- but no figures (run.json: "interrupted": true, and "finished": false of that evaluation).

---What the program was given: options by name, and every `-o key=value` as a string. A script
---may change it: `arg.limit = 100` holds for the evaluations that follow, `arg.out` for where
---the run goes. `-o`, `--data` and `--model` that a script never reads are told on stderr.
---@class clip.Arg
---@field [0] string the script, as given
---@field model string? `--model`: what `clip.model` takes
---@field arch string? `--arch`: `clip.model` takes it for the model that `--model` names
---@field activation string? `--activation`, likewise
---@field data string? `--data`
---@field out string? `--out`
---@field limit integer? `--limit`, at least 1
---@field seed integer `--seed`, 0 unless given
---@field threads integer? `--threads`, at least 1
---@field precision "fp32"|"int8"|"bf16"|"auto"|nil `--precision`: of every model whose options do not say it
---@field quiet boolean? `--quiet`
---@field [string] any
arg = {}

---@class clip
---@field version string
local clip = {}

-- ---------------------------------------------------------------------------- models

---A CLIP model. It is read-only. Fields of `info` can be read from the model as well.
---@class clip.Model
---@field name string the directory's or file's own name, or the Hugging Face id
---@field path string
---@field embed_dim integer numbers in an embedding
---@field context integer tokens of a text, with start and end
---@field image_size [integer, integer] width and height of what the image tower takes
---@field logit_scale number the factor on cosines (exp of the stored parameter)
---@field logit_bias number added behind the factor; 0 but for sigmoid models
---@field sigmoid boolean pairs are scored one by one, by a sigmoid (SigLIP), not by a softmax
---@field info clip.ModelInfo
---@field notes clip.Note[] what misleads about the checkpoint; also in run.json
local Model = {}

---What was resolved from the checkpoint. `*_source` tell which file says so.
---@class clip.ModelInfo
---@field name string
---@field path string as it was opened
---@field arch string? as it was given
---@field format "hugging-face"|"open-clip"|"openai"
---@field weights string path of the weights, or of the index of their shards
---@field weights_format string "safetensors", "TorchScript", "PyTorch zip", ...
---@field architecture_source string
---@field activation_source string
---@field preprocess_source string
---@field vision string the image tower in words
---@field text string the text tower in words
---@field activation "quick_gelu"|"gelu"|"gelu_tanh"|"relu" of the text tower
---@field vision_activation "quick_gelu"|"gelu"|"gelu_tanh"|"relu" of the image tower
---@field dtype "F32"|"F16"|"BF16"|"F64" of most of the weights, as stored
---@field end_of_text string which position's state becomes the text's embedding
---@field vision_pool "class token"|"average"|"attention" what becomes the picture's
---@field precision "fp32"|"int8"|"bf16" of the towers' layers
---@field engine string what computes them, such as "clipeval AVX-512 VNNI"
---@field tokenizer string where the tokenizer came from
---@field tokenizer_kind string what it does, in words
---@field embed_dim integer
---@field image_width integer
---@field image_height integer
---@field context integer
---@field logit_scale number
---@field logit_bias number
---@field sigmoid boolean
---@field preprocess clip.Recipe

---What is worth telling about a checkpoint that opens all the same.
---@class clip.Note
---@field severity "remark"|"warning"|"fault" faults only show in `clipeval doctor`: others do not open
---@field code string a constant name: "openai-names-gelu", "unused-tensors", ...
---@field text string one line that names the file

---How a picture becomes the tower's input.
---@class clip.Recipe
---@field resize_mode "none"|"shortest"|"squash"|"longest"
---@field interpolation "bicubic"|"bilinear"
---@field resize_width integer
---@field resize_height integer
---@field width integer
---@field height integer
---@field crop_rounding "half to even"|"floor"
---@field fill integer grey of the padding, 0 to 255
---@field rescale number usually 1/255
---@field mean [number, number, number] RGB
---@field std [number, number, number] RGB

---@class clip.ModelOptions
---@field arch? string what the model is, where its files do not say: one of open_clip's architectures ("ViT-B-32"), "openai", or the path of a configuration (*.json)
---@field activation? "quick_gelu"|"gelu"|"gelu_tanh" where the checkpoint does not state it; raises where it states another
---@field precision? "fp32"|"int8"|"bf16"|"auto" of the towers' layers; `--precision`, or fp32. "auto" measures for a moment, and takes the fastest whose cosine with fp32 is at least 0.999 for all but 1 % of some built-in pictures and texts

---Opens a model. The name is, in this order: a path (a checkpoint's directory, or its weights
---file), an embedded model, or a Hugging Face id that lies in the local cache ("org/name",
---"org/name@REVISION" with a branch, a tag, a commit or at least 7 digits of one; "hf-hub:"
---before it means the cache alone). nil is the embedded "pocket". Nothing is downloaded: where
---the cache lacks it the message says how to get it. Without `arch`, `--arch` holds where the
---name is the one that `--model` gave. Raises with the file and its fault where it does not
---open; what misleads but runs is told on stderr, once, and kept in `notes`.
---@param name? string
---@param options? clip.ModelOptions
---@return clip.Model
function clip.model(name, options) end

---SHA-256 of the weights file, 64 hexadecimal digits; of shards, that of what `sha256sum` prints
---for the index and each of them.
---@return string
function Model:sha256() end

---The ids of a text, with start and end but no padding.
---@param text string UTF-8
---@return integer[] ids
---@return integer count
---@return boolean truncated the text was cut to the model's context
function Model:tokenize(text) end

---Options that are not named here raise.
---@class clip.EncodeOptions
---@field threads? integer workers; 0: one a core. Default: `--threads`
---@field progress? string label of a progress line on stderr; nil: none

---@class clip.TextOptions : clip.EncodeOptions
---@field ids? boolean also return the input ids

---@class clip.ImageOptions : clip.EncodeOptions
---@field alpha? "drop"|"white" what becomes of transparency; "drop" unless said
---@field pixels? boolean also return what the tower saw

---Embeddings, one row a text, [n, embed_dim], not normalised.
---@param texts string|string[] UTF-8
---@param options? clip.TextOptions
---@return clip.Matrix embeddings a row of NaN where a text is not UTF-8
---@return table<integer, string>? problems by row; nil: none
---@return boolean[] truncated
---@return string? ids [n, context] as little-endian int64, where asked for
function Model:encode_text(texts, options) end

---Raw pixels in memory.
---@class clip.Pixels
---@field width integer
---@field height integer
---@field channels? 1|3 grey, or RGB (the default)
---@field pixels string width * height * channels bytes, row by row from the top

---A picture that lies in a file among others, encoded: a member of a tar. `size` bytes from
---`offset` on (from 0) are decoded as the file of its own that they were.
---@class clip.Part
---@field path string
---@field offset? integer offset and size belong together; without them it is the whole file
---@field size? integer

---@alias clip.Picture string|clip.Part|clip.Image|clip.Pixels a path, part of a file, an image, or raw pixels

---Embeddings, one row a picture, [n, embed_dim], not normalised.
---@param pictures clip.Picture|clip.Picture[]
---@param options? clip.ImageOptions
---@return clip.Matrix embeddings a row of NaN where a picture cannot be read, or overflows
---@return table<integer, string>? problems by row; nil: none
---@return clip.Matrix? pixels [n, 3 * height * width], where asked for
function Model:encode_image(pictures, options) end

---Frees the model now rather than when it is collected.
function Model:close() end

-- ---------------------------------------------------------------------------- matrices

---Rows of numbers (float32). `#m` is the number of rows; `m[i]` is row i as a table, nil
---outside; `a == b` compares shape and numbers.
---@class clip.Matrix
---@field rows integer
---@field cols integer at least 1
---@field [integer] number[]
---@operator len: integer
local Matrix = {}

---@param rows number[][] at least one row, all of the same length
---@return clip.Matrix
---@overload fun(rows: integer, cols: integer): clip.Matrix zeros
function clip.matrix(rows) end

---A new matrix whose rows have length 1 (a row of zeros stays).
---@return clip.Matrix
function Matrix:normalize() end

---The mean of the rows, [1, cols]; `weights` are one a row, above 0.
---@param weights? number[]
---@return clip.Matrix
function Matrix:mean(weights) end

---Dot products of all rows with all rows of `other`, [rows, other.rows]: cosines where both
---are normalised.
---@param other clip.Matrix with as many columns
---@return clip.Matrix
function Matrix:similarity(other) end

---For each row its k largest entries (fewer where there are fewer columns), best first; of
---equal ones the lower column first, NaN last.
---@param k integer at least 1
---@return integer[][] columns
---@return number[][] values
function Matrix:topk(k) end

---For each row of scores: at which rank (1 is the best) its target column stands, which
---column is best, with which score, and whether others share that score.
---@param targets integer[] a column for each row
---@return integer[] ranks
---@return integer[] best
---@return number[] scores
---@return boolean[] tied
function Matrix:ranks(targets) end

---These rows, in this order.
---@param rows integer[]
---@return clip.Matrix
function Matrix:select(rows) end

---The sum of two matrices of one shape, a new matrix.
---@param other clip.Matrix
---@return clip.Matrix
function Matrix:plus(other) end

---Rows first to last; last = first - 1 gives none.
---@param first integer
---@param last integer
---@return clip.Matrix
function Matrix:slice(first, last) end

---@return number[][]
function Matrix:totable() end

function Matrix:close() end

-- ---------------------------------------------------------------------------- pictures

---A decoded picture, RGB.
---@class clip.Image
---@field width integer
---@field height integer
local Image = {}

---Decodes a file (PNG, JPEG, WebP, GIF, BMP, PNM, TGA) or a part of one, or takes raw pixels.
---Other options than alpha raise.
---@param picture string|clip.Part|clip.Pixels
---@param options? {alpha: "drop"|"white"}
---@return clip.Image?
---@return string? message what is wrong with the file
function clip.image(picture, options) end

---@param x integer from 0, left
---@param y integer from 0, top
---@return integer red 0 to 255
---@return integer green
---@return integer blue
function Image:pixel(x, y) end

---A resized copy; the same bytes as Pillow's Image.resize.
---@param width integer 1 to 65535
---@param height integer 1 to 65535
---@param filter? "bicubic"|"bilinear" bicubic unless said
---@return clip.Image
function Image:resize(width, height, filter) end

---All pixels: width * height * 3 bytes, row by row from the top.
---@return string
function Image:bytes() end

---The picture, made small enough for a square of `side` pixels (nothing is enlarged), as JPEG:
---what `clipeval report` shows. The same picture gives the same bytes.
---@param side integer 1 to 1024
---@param quality? integer 1 to 100; 80 unless said
---@return string
function Image:thumbnail(side, quality) end

function Image:close() end

-- ---------------------------------------------------------------------------- datasets

---A dataset as a file of `datasets/` or your own script describes it. Other fields raise.
---@class clip.DatasetTable
---@field name? string
---@field version? string|number
---@field about? string one line
---@field root? string where it lies, from the current directory; `--data` is for the script to pass on
---@field source? string where it is usually had, for the message when it is missing
---@field expects? string one line that shows its files, for that message; {place}, {split} or another field in braces stands for what the split has there. Unless said, the layout's own
---@field task? clip.Kind what the items are; checked against the layout's, and for items and jsonl it decides
---@field layout? string one of the layouts below; needed unless there are items
---@field place? string file or folder below root
---@field split? string which of splits; needed where there are several
---@field splits? table<string, string|string[]|table> a text is a place below root (cifar: files; karpathy, voc: the split's name; sugarcrepe: annotations); a table is fields that go over the dataset's own, layout included
---@field classes? string[]|table<string, string>|table<integer, string> a list: the class names in order, numbers in the data count from 0. A map: from folder or label, as the data has it, to class name (all keys strings, or all integers: {[3] = "cat", [7] = "dog"}); the order is that of the sorted keys, keys of one name are one class, and of folders only those in the map are read. Without it the folders or labels found are the classes, sorted
---@field alpha? "drop"|"white" "white" lays transparent pictures over white, and the report's dataset_version says so
---@field extensions? string|string[] folders: of the files that are read, in any case. A link that leads back to a folder above it is skipped, and told on stderr
---@field exclude? string|string[] folders: Lua patterns; a picture whose id matches one is left out
---@field captions? string folders: the extension of a text file beside each picture; its first line is the item's caption, and pictures without one are left out
---@field path_column? string csv: "path" unless said
---@field label_column? string csv: "label" unless said. A label is a class name, a key of a map of classes, or its number in a list of classes, counting from 0
---@field delimiter? string csv: one character, "," unless said
---@field items? clip.ItemTable[]|fun(root: string, split: string): clip.ItemTable[] instead of a layout

---An item as a script hands it over, or a line of a JSONL manifest has it. Its other fields are
---those of its kind (see clip.Kind); any else raises, with the list of those that there are. What
---begins with an underscore is yours: it is kept, and not read.
---@class clip.ItemTable
---@field path? string relative to root (without a root: to the current directory)
---@field offset? integer with size: the bytes of the file at path that are the picture
---@field size? integer
---@field image? clip.Image|clip.Pixels instead of a path
---@field pictures? (string|clip.Part)[] of pairs: two in place of the one
---@field label string|integer a class name, or its number in a list of classes, counting from 1; of a map of classes one of its keys
---@field id? string|number unique; the path unless said
---@field caption? string
---@field _? any `_anything`: the script's own

---What an item is. Every item has an id and a picture (path, path with offset and size, image);
---besides: "classification" label; "multilabel" labels and perhaps ignored; "retrieval"
---captions; "vqa" question, answers (1 or 10), perhaps choices, question_type, answer_type;
---"pairs" captions (two) and either pictures (two) or one picture, whose caption is the first,
---perhaps group; "match" text and match (a boolean).
---@alias clip.Kind "classification"|"multilabel"|"retrieval"|"vqa"|"pairs"|"match"

---The layouts, each also "NAME:PLACE", and their fields. `prefix` is the folder of the pictures
---below the root; `annotations` the file or files below the place.
---folders (DIR): a folder a class. extensions, exclude, captions; folders: a list beside classes.
---csv (FILE): path_column, label_column, delimiter, prefix (below the manifest's folder),
---  labels (how the data writes each class, a list beside classes), label_base (number of the
---  first class, 0 unless said).
---idx (DIR): MNIST's files. Splits of { images, labels }; label_base.
---cifar (DIR): the binary version; files, label_bytes (1 or 2). Splits test, train.
---stl10 (DIR): the binary version; images, labels. Splits test, train.
---list (FILE): "path label" lines. columns (their words in order; the last takes the rest),
---  separator, label = "folder", labels, label_base, prefix, suffix, numbered ("%08d.jpg": the
---  file has labels only), comment ("#").
---imagenet (DIR): folders by WordNet id, or ILSVRC2012_val_* and val.txt, LOC_val_solution.csv,
---  a WordNet id a line, or the devkit's numbers with map_clsloc.txt. wnids (a list beside
---  classes), ground_truth, map; and those of folders.
---coco (FILE): captions_*.json. annotations, prefix.
---flickr_csv (FILE): captions.txt, results.csv or NAME.token.txt. annotations, prefix.
---karpathy (FILE): dataset_*.json. annotations, prefix, parts. Splits test, val, train.
---vqav2 (DIR): questions, annotations, pictures ("val2014/COCO_val2014_%012d.jpg"), prefix.
---gqa (FILE): annotations (the questions), prefix, suffix.
---sugarcrepe (DIR): annotations (a file a category), prefix.
---winoground (FILE): examples.jsonl. annotations, prefix, suffix.
---voc (DIR): ImageSets, Annotations, JPEGImages. list, difficult = "ignore" (unless said) or
---  "count", labels. Splits test, train, val, trainval.
---wds (DIR): SPLIT/nshards.txt, SPLIT/0.tar, ..., classnames.txt, dataset_type.txt ("retrieval",
---  "multilabel"; without it "classification"). The splits are those on disk; where a description
---  names splits, each is the folder of its shards.
---jsonl (FILE): lines such as {"path": "a.jpg", "label": "cat"}, or with labels | captions |
---  caption and negative_caption | pictures and captions | question and answers or answer |
---  text and match, perhaps id, and fields that begin with an underscore. prefix (below the
---  manifest's folder), labels, label_base.
---Files that are HDF5, Parquet or MATLAB's are not read.

---@class clip.Item
---@field id string
---@field label integer number of the class, counting from 1
---@field path string?
---@field caption string?

---@class clip.Dataset
---@field name string
---@field version string
---@field split string "all" where there are none
---@field alpha "drop"|"white"
---@field kind clip.Kind
---@field classes? string[] of classification and multilabel
---@field items clip.Item[] sorted by id
---@operator len: integer
local Dataset = {}

---What `model:encode_image` takes for an item.
---@param item clip.Item
---@return clip.Picture
function Dataset:picture(item) end

---Opens a dataset: a name (see `clipeval list datasets`), a Lua file that returns a table
---(looked up here, then beside the script), "folders:DIR", "csv:FILE", or a table. Options go
---over the table's own fields; an open dataset takes none. Raises, naming the file and the
---line, where it is missing or broken.
---@param what string|clip.DatasetTable|clip.Dataset
---@param options? clip.DatasetTable
---@return clip.Dataset
function clip.dataset(what, options) end

-- ---------------------------------------------------------------------------- prompts

---A template is a text in which {} (or {c}) stands for the class name, or a function that
---makes one text, or a list of texts, of it (an empty list leaves the class out, an empty text
---raises); it is called once for each class.
---@alias clip.Template string|fun(class: string): string|string[]

---A template, or one with its weight: { "a photo of a {}", weight = 2 }.
---@alias clip.WeightedTemplate clip.Template|{[1]: clip.Template, weight: number}

---`descriptions` holds texts for each class, which are put as they are: each class that is
---evaluated needs one, and others are told on stderr. `classes` are names to use in place of
---the dataset's, in its order (another language). A class's embedding is the weighted mean of
---its texts' normalised embeddings, normalised again; a text has the weight of its template,
---which is 1 unless said.
---@class clip.PromptsTable
---@field name? string "custom" unless said
---@field version? string|number
---@field about? string
---@field templates? clip.WeightedTemplate[]
---@field descriptions? {[string]: string|string[]}
---@field weights? number[] one a template
---@field classes? string[]

---@class clip.Prompts
---@field name string
---@field version string
---@field templates (clip.Template|{[string]: string[]})[]
---@field weights number[]
---@field classes? string[]
---@operator add(clip.Prompts): clip.Prompts
---@operator mul(number): clip.Prompts
---@operator len: integer
local Prompts = {}

---The texts for one class.
---@param class string
---@return string[]
function Prompts:texts(class) end

---A list of templates: a name (see `clipeval list prompts`), a file, one template, a list, or a
---table. A file is Lua that returns a list or a table; .txt, a template a line; or .json, a list
---of templates, or {"class": ["description", ...]} (CuPL's). `a + b` has the templates of both,
---`prompts * 2` twice the weight.
---@param what string|clip.WeightedTemplate[]|clip.PromptsTable|clip.Prompts
---@return clip.Prompts
function clip.prompts(what) end

---The noun with its article: "an hour", "a unicorn", "an SUV". English only.
---@param noun string
---@return string
function clip.a_or_an(noun) end

-- ---------------------------------------------------------------------------- evaluations

---@class clip.ZeroShot
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset
---@field prompts string|clip.Template[]|clip.PromptsTable|clip.Prompts
---@field metrics? string[] "acc@K", "mean_per_class_recall", "ece" and "brier"; unless said all of them, with acc@1 and (where there are more than 5 classes) acc@5
---@field classes? string[] other names for the dataset's classes, in its order; unless said those of the prompts, where they have some
---@field limit? integer a seeded random sample of so many items; `--limit` unless said
---@field seed? integer `--seed` unless said

---@class clip.Metric
---@field metric string
---@field value number 0 to 1; of unit "plain" any number, such as a median rank
---@field ci_low? number 95 %: Wilson's interval; for the mean recall a seeded bootstrap
---@field ci_high? number
---@field chance? number what guessing gives
---@field n integer items, unreadable ones included: they count as misses (not in ece and brier, which know of readable ones only)
---@field unit "percent"|"plain"

---@class clip.Prediction
---@field id string
---@field target string class name
---@field prediction string? nil: the picture could not be read
---@field rank integer? of the target; 1 is the best
---@field score number? cosine of the prediction
---@field tied boolean? the best score is shared; the first class was taken
---@field class integer? of the target, as run and compare tell classes of one name apart
---@field brier number? the squared differences from the truth, added over the classes
---@field class_ranks string? of multilabel, what compare tests with: for each class where the picture stands among all, from 1; "+" before it: it shows it; "0": it could not be read; "-": ignored
---@field rank_by_subset integer? of ablate, in the second half: the rank by the subset of templates
---@field confidence number? probability of the prediction: softmax of the cosines times the model's own scale (of a model trained so the sigmoid, with its bias)

---What every task gives. Also holds each metric's value by its name: `result["acc@1"]`.
---@class clip.Result
---@field task "zeroshot"|"retrieval"|"vqa"|"multilabel"|"compositional"|"match"|"linear_probe"|"ablate"
---@field n integer items
---@field metrics clip.Metric[]
---@field classes? string[] of zeroshot, multilabel and ablate
---@field columns string[] of predictions.csv
---@field class_columns? string[] of classes.csv
---@field class_rows? any[][] lines of classes.csv, but zeroshot's and vqa's
---@field class_figures? {class: string, n: integer, hits: integer, recall: number?, ci_low: number?, ci_high: number?}[]
---@field predictions clip.Prediction[]|table<string, any>[] lines of predictions.csv, by column
---@field problems {id: string, problem: string}[]
---@field ties integer
---@field texts integer
---@field truncated_texts integer
---@field [string] any

---Zero-shot classification: each class is the normalised mean of its texts' normalised
---embeddings; a picture's class is the one with the highest cosine, of equal ones the first.
---Evaluates at once. The results that a script returns, as values or in lists and maps at any
---depth, are shown on stdout and written to the run directory, in the order in which they are
---found; of a script that returns none, all, in the order in which they were evaluated. What is
---evaluated and not returned beside others is not written, and told on stderr. So are class
---names that stand for several classes, and pictures that cannot be read, where they are more
---than one in a hundred.
---
---How far its probabilities (see clip.Prediction) can be trusted: `ece`, the expected
---calibration error in 15 bins of equal width, and `brier`, the mean over the pictures of the
---squared differences from the truth, added over the classes. Both are of the pictures that
---can be read; 0 is best.
---@param evaluation clip.ZeroShot
---@return clip.Result
function clip.zeroshot(evaluation) end

---@class clip.Retrieval
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset of the kind "retrieval": items have captions
---@field ks? integer[] 1, 5 and 10 unless said
---@field prompt? string a text around each caption, in which {} stands for it
---@field limit? integer
---@field seed? integer

---Do pictures find their captions, and captions their pictures? `image_retrieval_recall@K`: the
---share of captions whose picture is among the first K; `text_retrieval_recall@K`: the share of
---pictures of which some caption is; and the median ranks. A picture that cannot be read is a
---miss, and so are its captions, which compete all the same.
---@param evaluation clip.Retrieval
---@return clip.Result
function clip.retrieval(evaluation) end

---@class clip.Multilabel
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset of the kind "multilabel": items have labels, and perhaps ignored
---@field prompts string|clip.Template[]|clip.PromptsTable|clip.Prompts
---@field classes? string[] other names for the dataset's classes, in its order
---@field limit? integer
---@field seed? integer

---`mean_average_precision`: the mean over the classes of the mean over a class's pictures of
---the precision at their rank, which is 0 at one that cannot be read. A class without a picture
---has 0. classes.csv has each class's.
---@param evaluation clip.Multilabel
---@return clip.Result
function clip.multilabel(evaluation) end

---@class clip.Compositional
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset of the kind "pairs": all items have two pictures, or all one
---@field limit? integer
---@field seed? integer

---Two captions and two pictures (Winoground): `text_score`, each picture prefers its caption,
---`image_score`, each caption its picture, `group_score`, both. Two captions and a picture
---(SugarCrepe): `accuracy`, the picture prefers the first. Ties are wrong. classes.csv has
---the figures of each group.
---@param evaluation clip.Compositional
---@return clip.Result
function clip.compositional(evaluation) end

---@class clip.Match
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset of the kind "match": items have text and match
---@field threshold? number a cosine
---@field limit? integer
---@field seed? integer

---Is the text of the picture? `roc_auc`; `best_accuracy` over all thresholds, with the lowest
---that reaches it in `best_threshold` (chosen on these very pairs); and `accuracy` at a
---threshold that is given: right where (cosine >= threshold) == match. Chance of an accuracy is
---the share of the more frequent answer.
---@param evaluation clip.Match
---@return clip.Result
function clip.match(evaluation) end

---@class clip.LinearProbe
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset what is judged on: classification
---@field train string|clip.DatasetTable|clip.Dataset has the same classes in the same order
---@field validation? string|clip.DatasetTable|clip.Dataset unless said a fifth of the training pictures, chosen by the seed
---@field strength? number C, the inverse of the L2 penalty's weight; nothing is validated then
---@field train_limit? integer a seeded random sample of so many training pictures
---@field limit? integer
---@field seed? integer

---Logistic regression on frozen, normalised embeddings. The strength with the highest accuracy
---on the validation pictures is learned anew on these and the training pictures together.
---Figures: `acc@1`, `acc@5` (of more than five classes), `mean_per_class_recall`, and the
---`strength`. Pictures of the training split that cannot be read are left out, told as problems,
---and counted in `left_out`.
---@param evaluation clip.LinearProbe
---@return clip.Result
function clip.linear_probe(evaluation) end

---@class clip.Ablate
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset of the kind "classification"
---@field prompts string|clip.Template[]|clip.PromptsTable|clip.Prompts
---@field classes? string[] other names for the dataset's classes, in its order
---@field steps? integer templates that the subset takes at most; 10 unless said
---@field limit? integer
---@field seed? integer also splits the pictures into halves

---Which templates earn their place? classes.csv has the accuracy of each alone and of all
---others `without` it, as clip.zeroshot would give them with the same weights; none where some
---class has no text of them. A subset is grown on one half of the pictures, a template at a
---time while that helps, and judged on the other: `subset_acc@1_second_half`, beside
---`acc@1_second_half` of all templates. `subset_step` tells when a template was taken.
---@param evaluation clip.Ablate
---@return clip.Result
function clip.ablate(evaluation) end

-- ------------------------------------------------------------- question answering

---The text of a candidate: {a} is the answer, {an} the answer with an article where it needs
---one ("an owl", "dogs"), {in} the answer as a place ("in the kitchen"), {number} a number as a
---word; {q} the question as it was asked, {1} the first capture of the rule's pattern, {an 1}
---that with an article. A function gives a text, a list of texts, or nil: no candidate. An
---empty text raises.
---@alias clip.AnswerTemplate string|fun(answer: string, question: string, ...: string): string|string[]|nil

---@class clip.QuestionRule
---@field name? string for the report
---@field pattern string|string[] a Lua pattern, or several, found in the question once that is in lower case, with single spaces and without the mark at its end ("what's" is "what is"). `(is|are)` stands for either word and captures it
---@field template? clip.AnswerTemplate|clip.AnswerTemplate[] each answer's text; of several texts the normalised mean of their embeddings counts
---@field answers? "yes/no"|"number"|"other"|string[] kinds of answers that the rule takes, all unless said: "yes" and "no", digits (after normalisation, "two" is one), and all else. A rule that takes none of the candidates does not fit; those that it does not take are no candidates
---@field yes? string|string[] instead of a template: the texts of "yes" and of "no"
---@field no? string|string[]

---@class clip.QuestionsTable
---@field name? string "custom" unless said
---@field version? string|number
---@field about? string
---@field rules clip.QuestionRule[]

---@class clip.Questions
---@field name string
---@field version string
---@operator add(clip.Questions): clip.Questions
---@operator len: integer
local Questions = {}

---The texts of each candidate, and the name of the rule that made them: the first whose
---pattern is found and that takes one of the candidates. Raises where there is none.
---@param question string
---@param candidates string[]
---@return (string[]|false)[] texts false: the rule takes no such answer
---@return string rule
function Questions:texts(question, candidates) end

---Rules as lines for a report.
---@return string[]
function Questions:describe() end

---Rules that turn a question and an answer into a text; nil: those shipped
---(lua/clipeval/question_rules.lua), which make captions: "What animal is in the picture?" and
---"owl" become "a picture of an owl". "Is it an animal?" becomes "a picture of an animal" for
---yes and "a picture" for no, since CLIP hardly hears "not". A single template or function
---is the one rule for all questions (the function gets question and answer, in this order),
---and of clip.prompts each answer is a class. `mine + clip.questions()` tries mine first.
---@param what? string|clip.QuestionRule[]|clip.QuestionsTable|clip.Questions|clip.Prompts|fun(question: string, answer: string): string|string[]|nil
---@return clip.Questions
function clip.questions(what) end

---The official way to compare answers (GT-Vision-Lab/VQA).
clip.answers = {}

---Without punctuation and articles, in lower case, numbers to ten as digits, contractions mended.
---@param answer string
---@return string
function clip.answers.normalise(answer) end

---Of ten reference answers (at least four): the mean over leaving one out of min(1, how many of
---the others agree / 3). Of one: 1 where the normalised forms are equal, else 0. Where all
---of several are equal, nothing is normalised, as in the original.
---@param prediction string
---@param references string[]
---@return number 0 to 1
function clip.answers.accuracy(prediction, references) end

---@class clip.VQA
---@field model clip.Model
---@field dataset string|clip.DatasetTable|clip.Dataset of the kind "vqa": items have question, answers (one or ten), and where they know them choices, question_type, answer_type
---@field prompt? string|clip.QuestionRule[]|clip.QuestionsTable|clip.Questions|clip.Prompts|fun(question: string, answer: string): string|string[]|nil what clip.questions takes: "question: {q} answer: {a}", a function, rules; the shipped rules unless said
---@field choices? string[]|integer the candidates of every item, or how many of the split's most common reference answers (in normalised form) they are. Unless said each item's own, and 1000 of the most common where it has none. The split's own answers know something of the truth: run.json says which candidates there were
---@field limit? integer a seeded random sample of so many items; `--limit` unless said
---@field seed? integer `--seed` unless said

---Visual question answering: the answer is the candidate whose text has the highest cosine with
---the picture, of equal ones the first. Figures: `vqa_accuracy`, the mean of
---clip.answers.accuracy (a picture that cannot be read counts 0), with a bootstrap interval in
---which the questions about one picture are drawn together; beside it as chance what a
---uniformly random one of the same candidates is worth; and `prior_accuracy`, what the single
---best answer to each question type would be worth, given blindly: a model below it has shown
---nothing; and `ceiling_accuracy`, what always choosing the best candidate would be: below 1
---where people answered otherwise, or differed. classes.csv has all of them for each question
---type and answer type, predictions.csv the text that won and the rule that made it.
---@param evaluation clip.VQA
---@return clip.Result
function clip.vqa(evaluation) end

-- ---------------------------------------------------------------------------- files

---A whole CSV file: rows of strings, the header first; `row.line` is its line in the file.
---@param path string
---@param delimiter? string
---@return {[integer]: string, line: integer}[]?
---@return string? message
function clip.csv(path, delimiter) end

---The value of a JSON text; null becomes nil.
---@param text string
---@return any
---@return string? message
function clip.json(text) end

---SHA-256 of a string, 64 hexadecimal digits.
---@param text string
---@return string
function clip.sha256(text) end

-- ---------------------------------------------------------------------------- doctor

---What `clipeval doctor --json` prints: one object with these keys. Of a model that does not open
---there are `findings`, and what could be resolved.
---@class clip.Diagnosis
---@field clipeval string version
---@field model string name, as reports show it
---@field path string
---@field found "path"|"embedded"|"hub"
---@field commit string? of a model in the Hugging Face cache
---@field arch string? `--arch`
---@field wrong boolean whether there is a fault or a warning: exit code 1
---@field findings {severity: "fault"|"warning"|"remark", code: string, text: string, advice: string?}[]
---@field engine {precision: string, kernels: string, blas: string}
---@field format "hugging-face"|"open-clip"|"openai"
---@field directory string?
---@field config string? path
---@field weights {path: string, format: string, sha256: string, tensors: integer, values: integer, types: table<string, integer>, files: {path: string, bytes: integer}[]}?
---@field architecture {source: string, embed_dim: integer, dtype: string}?
---@field image {tower: string, activation: string, pool: string, width: integer, height: integer}?
---@field text {tower: string, activation: string, pool: string, context: integer}?
---@field activation_source string?
---@field preprocess clip.Recipe? with `source`
---@field tokenizer {source: string, kind: string}?
---@field logits {scale: number, temperature: number, bias: number, sigmoid: boolean}?
---@field selftest {texts: clip.SelfTest, pictures: clip.SelfTest}?

---Of a few built-in items; without figures where there is a `fault`.
---@class clip.SelfTest
---@field n integer
---@field fault string?
---@field norms {min: number, mean: number, max: number} of the embeddings
---@field cosines {min: number, mean: number, max: number} of every pair
---@field collapsed boolean every cosine is above 0.999
---@field batch_error number largest difference of an item alone and among others, relative to its norm

return clip
