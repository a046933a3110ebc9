-- Layouts whose items have captions, questions or pairs of texts.
package.path = arg.source .. "/tests/?.lua;" .. package.path
local tap = require "tap"
local clip = require "clipeval"
local PICTURE = tap.read(arg.source .. "/tests/golden/zeroshot/folders/disc/disc_00.png")
local root = tap.directory()

local function pictures(...)
  for _, name in ipairs { ... } do tap.write(name, PICTURE) end
end

local function captions(data)
  local list = {}
  for i, item in ipairs(data.items) do
    list[i] = item.id .. "=" .. table.concat(item.captions, "|")
  end
  return table.concat(list, " ")
end

local function no(spec, message, options, name)
  return tap.raises(function() clip.dataset(spec, options) end, message, name or message)
end

-- ---- coco ----

pictures("coco/val2014/b.jpg")
local COCO = '{"info": {"x": "]"}, "images": [{"id": 9, "file_name": "b.jpg"}, ' ..
             '{"file_name": "a.jpg", "id": 8}],\n"annotations": [\n' ..
             '{"image_id": 9, "id": 1, "caption": "A dog \\u00e9 \\"x\\"."},\n' ..
             '{"image_id": 8, "caption": "two"}, {"image_id": 9, "caption": "three"}]%s}'
local function coco(text)
  return "coco:" .. tap.write("coco/annotations/captions_val2014.json", text)
end
local data = clip.dataset(coco(COCO:format "")) -- root is the file
tap.is(captions(data), 'a.jpg=two b.jpg=A dog é "x".|three', "coco: all captions, in order")
tap.is(data.kind .. data:picture(data.items[2]), "retrieval" .. root ..
       "/coco/annotations/../val2014/b.jpg", "coco: its folder is found")
tap.is(tostring(data), "dataset captions_val2014, split all (2 pictures)", "no classes")
data = clip.dataset { layout = "coco", root = root .. "/coco", split = "test", splits = {
  test = { annotations = "annotations/captions_val2014.json", prefix = "val2014" } } }
tap.is(data:picture(data.items[2]), root .. "/coco/val2014/b.jpg", "coco: file and folder are said")
local function bad_coco(from, to, message)
  no(coco((COCO:format "":gsub(from, to))), "captions_val2014.json" .. message)
end
bad_coco('"two"', '""', ": annotations[1]: the caption is empty")
bad_coco('"two"', "7", ": annotations[1]: the caption is no text, but 7")
bad_coco('{"image_id": 8, "caption": "two"}', "5", ": annotations[1]: no object")
bad_coco('"image_id": 8', '"image_id": 5', ": annotations[1]: the picture 5 is not among")
bad_coco('"image_id": 8', '"image_id": 9', ": images[1]: 'a.jpg' has no caption")
bad_coco('"id": 8', '"id": 9', ": images[1]: the id 9 stands for two pictures")
bad_coco("a.jpg", "b.jpg", ": images[1]: the picture 'b.jpg' stands twice")
bad_coco('"file_name": "b.jpg"', '"file_name": 5', ': images[0]: "file_name" must be a text')
bad_coco('"annotations"', '"captions"', ': no "annotations" in it')
bad_coco('"images": %[', '"images": 5, "x": [', ":1: a list or an object is expected")
bad_coco("}$", "", ":4: truncated: a '}' is expected")
bad_coco("%]}$", "", ":4: truncated")
bad_coco("three.*", "", ":4: truncated")
bad_coco("}$", "} x", ":4: something follows the end")
bad_coco('"two"', "tow", ":4: invalid token")
bad_coco('"two"', '"two", "caption": "x"', ":4: duplicate object key")
bad_coco('"two"', '"\xff"', ": not UTF-8 at byte")
no(coco '["a"]', "captions_val2014.json")
no(coco "", "captions_val2014.json")
tap.write("coco0/captions.json", COCO:format "")
no("coco:" .. root .. "/coco0/captions.json", "none of its 2 pictures exists")
tap.write("coco0/captions_2.json", "{}")
no("coco:" .. root .. "/coco0", "say which file of")

-- ---- flickr ----

pictures("f/Images/1.jpg")
local function flickr(text, name)
  return "flickr_csv:" .. tap.write("f/" .. (name or "captions.txt"), text)
end
local WANT = "1.jpg=A dog , and more|two 2.jpg=three"
tap.is(captions(clip.dataset(flickr "image,caption\n1.jpg,A dog , and more\n1.jpg,two\n2.jpg,three\n")),
       WANT, "flickr: commas in a caption, without quotes")
tap.is(captions(clip.dataset(flickr 'image,caption\n1.jpg,"A dog , and more"\n1.jpg,two\n2.jpg,three')),
       WANT, "flickr: and with quotes")
tap.is(captions(clip.dataset(flickr('image_name| comment_number| comment\n1.jpg| 0| A dog , and more\n' ..
                                    "1.jpg| 4   two\n2.jpg| 0| three\n", "results.csv"))),
       WANT, "flickr: results.csv, and its broken line")
tap.is(captions(clip.dataset(flickr("1.jpg#0\tA dog , and more\n1.jpg#1\ttwo\n2.jpg#0\tthree\n",
                                    "Flickr8k.token.txt"))), WANT, "flickr: token.txt")
local f = clip.dataset("flickr_csv:" .. root .. "/f")
tap.is(f:picture(f.items[1]), root .. "/f/Images/1.jpg", "flickr: a directory; its pictures")
tap.is(captions(clip.dataset(flickr 'image,caption\n1.jpg,"""Hi"" he said"\n1.jpg,"a" and "b"\n')),
       '1.jpg="Hi" he said|"a" and "b"', "flickr: quotes that are CSV's, and that are not")
no(flickr "image,caption\n1.jpg,\n", "captions.txt:2: the caption is empty")
no(flickr "image,caption\n1.jpg,x\nnonsense\n", "captions.txt:3: no picture and caption")
no(flickr "what is this\n", "captions.txt:1: neither")
no(flickr "image,caption\n9.jpg,x\n", "none of its 1 picture exists")

-- ---- karpathy ----

pictures("k/val2014/c1.jpg")
local function image(name, split, ...)
  local raw = {}
  for i, text in ipairs { ... } do raw[i] = ('{"tokens": [], "raw": "%s"}'):format(text) end
  return ('{"filepath": "val2014", "filename": "%s", "split": "%s", "sentences": [%s]}'):format(
    name, split, table.concat(raw, ","))
end
local function karpathy(...)
  return tap.write("k/dataset_coco.json", '{"images": [' .. table.concat({ ... }, ",") ..
                                          '], "dataset": "coco"}')
end
karpathy(image("c1.jpg", "test", "a", "b"), image("c2.jpg", "train", "c"),
         image("c3.jpg", "restval", "d"), image("c4.jpg", "val", "e"))
local k = clip.dataset("karpathy:" .. root .. "/k/dataset_coco.json")
tap.is(captions(k) .. k:picture(k.items[1]), "c1.jpg=a|b" .. root .. "/k/val2014/c1.jpg",
       "karpathy: the test split")
pictures("k/in/c2.jpg")
tap.is(captions(clip.dataset { layout = "karpathy", root = root .. "/k", split = "train",
                               annotations = "dataset_coco.json", prefix = "in",
                               splits = { train = { "train", "restval" }, test = "test" } }),
       "c2.jpg=c c3.jpg=d", "karpathy: two splits as one, pictures in one folder")
karpathy(image("c1.jpg", "val", "a"))
no("karpathy:" .. root .. "/k", "no split 'test' (there are val)")
karpathy(image("c1.jpg", "test"))
no("karpathy:" .. root .. "/k", "dataset_coco.json: images[0]: no captions")
karpathy(image("c1.jpg", "test", "a"), image("c1.jpg", "test", "b"))
no("karpathy:" .. root .. "/k", "images[1]: 'c1.jpg' stands at images[0] already")

-- ---- vqav2 ----

pictures("v/val2014/COCO_val2014_000000000042.jpg")
local function answers(...)
  local list = {}
  for i = 1, 10 do
    list[i] =
      ('{"answer": "%s", "answer_id": %d}'):format(select((i - 1) % select("#", ...) + 1, ...), i)
  end
  return table.concat(list, ",")
end
local Q = "v/v2_OpenEnded_mscoco_val2014_questions.json"
local A = "v/v2_mscoco_val2014_annotations.json"
local function vqa(question, annotation)
  tap.write(Q, '{"questions": [' .. question .. ']}')
  if annotation then tap.write(A, '{"annotations": [' .. annotation .. ']}') end
  return "vqav2:" .. root .. "/v"
end
local ONE = '{"image_id": 42, "question": "What is it?", "question_id": 420}'
local TEN = '{"question_id": 420, "image_id": 42, "question_type": "what is", "answer_type": ' ..
            '"other", "multiple_choice_answer": "net", "answers": [%s]}'
no(vqa(ONE), "annotations (without answers nothing can be measured)")
local v = clip.dataset(vqa(ONE, TEN:format(answers("net", "fence"))))
local item = v.items[1]
tap.is(("%s %s %s %s %s %d %s"):format(v.kind, item.id, item.question, item.question_type,
       item.answer_type, #item.answers, item.answers[2]),
         "vqa 420 What is it? what is other 10 fence",
       "vqav2: a question and its ten answers")
tap.is(v:picture(item), root .. "/v/val2014/COCO_val2014_000000000042.jpg", "vqav2: its picture")
v = clip.dataset { layout = "vqav2", root = root .. "/v", splits = { val = {
  questions = Q:sub(3), annotations = A:sub(3), pictures = "val2014/COCO_val2014_%012d.jpg" } } }
tap.is(v.split .. #v, "val1", "vqav2: files of a split")
no(vqa(ONE .. "," .. ONE, TEN:format(answers "x")), "questions[1]: the question 420 stands twice")
no(vqa(ONE, TEN:format(answers "x"):gsub("420", "421", 1)), "the question 420 has no answers in")
no(vqa(ONE, TEN:format(answers "x") .. "," .. TEN:format(answers "x"):gsub("420", "421", 1)),
   "annotations[1]: the question 421 is not in")
no(vqa(ONE, TEN:format '{"answer": "x"}, {"answer": "x"}'),
   "2 answers, where there must be 1 or 10")
no(vqa(ONE, TEN:format '"x"'), 'answers[0]: no text "answer"')
no(vqa(ONE:gsub("What is it%?", " "), TEN:format(answers "x")), "the question is empty")
no(vqa(ONE:gsub("42,", '"x",'), TEN:format(answers "x")), "image_id is no integer")
no({ layout = "vqav2", root = root .. "/v", pictures = "%" }, "pictures: ")

-- ---- gqa ----

pictures("g/images/7.jpg")
local function gqa(text)
  return "gqa:" .. tap.write("g/questions/val_balanced_questions.json", text)
end
local g = clip.dataset(gqa('{"05": {"imageId": "7", "question": "Is it red?", "answer": "no", ' ..
                           '"types": {"structural": "verify", "detailed": "existC"}}}'))
item = g.items[1]
tap.is(("%s %s %s %s %s"):format(item.id, item.question, item.answers[1], item.question_type,
       item.answer_type), "05 Is it red? no existC verify", "gqa: a question")
no(gqa '{"05": {"imageId": "7", "question": "Is it red?"}}', "'05': no \"answer\"")
no(gqa '{"05": {"imageId": "7", "question": "q", "answer": "n"}, "05": {"imageId": "7", "question": "q", "answer": "n"}}',
   "'05' stands at '05' already")
no(gqa '[{"imageId": "7"}]', "a list, not an object")
no(gqa '{"05": {"imageId": "8", "question": "q", "answer": "n"}}', "none of its 1 picture exists")

-- ---- sugarcrepe ----

pictures("s/val2017/1.jpg")
local PAIR = '{"0": {"filename": "1.jpg", "caption": "a", "negative_caption": "b"}, "2": ' ..
             '{"filename": "1.jpg", "caption": "c", "negative_caption": "d"}}'
tap.write("s/add_att.json", PAIR)
tap.write("s/swap_obj.json", PAIR)
local s = clip.dataset("sugarcrepe:" .. root .. "/s")
tap.is(s.kind .. captions(s), "pairsadd_att/0=a|b add_att/2=c|d swap_obj/0=a|b swap_obj/2=c|d",
       "sugarcrepe: categories")
tap.is(s.items[3].group .. s:picture(s.items[3]), "swap_obj" .. root .. "/s/val2017/1.jpg",
       "sugarcrepe: the group is the file")
tap.is(#clip.dataset { layout = "sugarcrepe", root = root .. "/s", prefix = "val2017",
                       splits = { add_att = { annotations = "add_att.json" } } }, 2,
       "sugarcrepe: one category")
tap.is(#clip.dataset { layout = "sugarcrepe", root = root .. "/s", prefix = "val2017",
                       splits = { all = { "add_att.json", "swap_obj.json" } } }, 4, "or a list")
tap.write("s/add_obj.json", '{"0": {"filename": "1.jpg", "caption": "a"}}')
no("sugarcrepe:" .. root .. "/s", "add_obj.json: '0': no \"negative_caption\"")

-- ---- winoground ----

pictures("w/images/ex_0_img_0.png", "w/images/ex_0_img_1.png")
local EX = '{"id": 0, "image_0": "ex_0_img_0", "image_1": "ex_0_img_1", "caption_0": "a b", ' ..
           '"caption_1": "b a", "tag": "Scope", "collapsed_tag": "Relation"}\n'
local function wino(text) return "winoground:" .. tap.write("w/examples.jsonl", text) end
local w = clip.dataset(wino(EX))
item = w.items[1]
tap.is(captions(w) .. " " .. item.group, "0=a b|b a Relation", "winoground: two captions")
tap.is(w:picture(item.pictures[2]), root .. "/w/images/ex_0_img_1.png", "and two pictures")
no(wino(EX .. "\n" .. EX), "examples.jsonl:3: '0' stands at 1 already")
no(wino(EX .. '{"id": 1}'), 'examples.jsonl:2: no "image_0"')
no(wino(EX .. "{"), "examples.jsonl:2: ")
no(wino(EX:gsub('"b a"', '" "')), "examples.jsonl:1: caption 2 is empty")

-- ---- jsonl, and items of one's own ----

pictures("j/a.png", "j/b.png")
local function jsonl(text) return "jsonl:" .. tap.write("j/manifest.jsonl", text) end
local j =
  clip.dataset(jsonl '{"path": "a.png", "label": "cat"}\n\n{"path": "b.png", "label": "dog"}\n')
tap.is(j.kind .. j.items[2].label .. j.classes[2] .. j.items[1].id, "classification2doga.png",
       "jsonl: path and label")
tap.is(clip.dataset(jsonl '{"path": "a.png", "label": 1}',
                    { classes = { "x", "y" } }).items[1].label, 2,
       "jsonl: numbers count from 0")
j = clip.dataset(jsonl '{"path": "a.png", "labels": ["y", "x", "y"], "ignored": ["z"]}\n{"path": "b.png", "labels": []}')
tap.is(j.kind .. table.concat(j.items[1].labels, " ") .. j.items[1].ignored[1] ..
       #j.items[2].labels,
       "multilabel2 130", "jsonl: labels")
tap.is(captions(clip.dataset(jsonl '{"path": "a.png", "captions": ["x", "y"]}\n{"path": "b.png", "caption": "z"}')),
       "a.png=x|y b.png=z", "jsonl: captions")
j = clip.dataset(jsonl('{"path": "a.png", "question": "q?", "answer": "x", "choices": ["x", "y"]}\n' ..
                       '{"path": "a.png", "question": "r?", "answers": ["y"]}'))
tap.is(j.kind .. j.items[2].id .. j.items[1].choices[2] .. j.items[2].answers[1], "vqaa.png#2yy",
       "jsonl: questions")
j = clip.dataset(jsonl '{"path": "a.png", "text": "x", "match": false}')
tap.is(j.kind .. j.items[1].text .. tostring(j.items[1].match), "matchxfalse", "jsonl: match")
j = clip.dataset(jsonl '{"path": "a.png", "caption": "x", "negative_caption": "y", "group": "g"}')
tap.is(j.kind .. captions(j), "pairsa.png=x|y", "jsonl: two captions")
j = clip.dataset(jsonl '{"pictures": ["a.png", "b.png"], "captions": ["x", "y"], "id": 5}')
tap.is(j.kind .. j.items[1].id .. j:picture(j.items[1].pictures[2]), "pairs5" .. root .. "/j/b.png",
       "jsonl: two pictures")
local function bad(line, message, options)
  no(jsonl('{"path": "a.png", "label": "x"}\n' .. line), "manifest.jsonl:2: " .. message, options)
end
bad('{"path": "a.png", "label": "x"}', "'a.png' stands in line 1 already")
bad('{"path": "b.png"}', "no label")
bad('{"path": "b.png", "label": "y"}', "the label 'y' is no class", { classes = { "x" } })
bad('{"path": "b.png", "label": 1}', "the label 1 is no class", { classes = { "x" } })
bad('{"path": 5, "label": 1}', '"path" must be a text, not 5')
bad("7", "no object")
bad('{"path": "b.png", "label": "y"', "'}' expected")
no(jsonl '{"path": "a.png", "captions": ["x", ""]}', ":1: caption 2 is empty")
no(jsonl '{"path": "a.png", "captions": []}', ":1: no captions")
no(jsonl '{"path": "a.png", "answer": "x"}', "manifest.jsonl:1: the question is no text",
   { task = "vqa" }, "jsonl: the task decides")
no(jsonl "", "no pictures in")
local own = clip.dataset { name = "own", root = root .. "/j", items = {
  { path = "a.png", question = "q?", answer = "x", id = "one" } } }
tap.is(own.kind .. own.items[1].answers[1], "vqax", "own: a question")
own = clip.dataset { name = "own", root = root .. "/j", items = {
  { pictures = { { path = "a.png" }, { path = "b.png", offset = 3, size = 9 } },
    captions = { "x", "y" }, id = "one" } } }
local p = own:picture(own.items[1].pictures[2])
tap.is(p.path .. p.offset .. p.size, root .. "/j/b.png39", "own: bytes of a file")
no({ items = { { path = "a", captions = { "x" }, offset = 3 } } }, "offset and size must be")
no({ items = { { captions = { "x", "y" }, pictures = { {}, {} } } } }, "picture 1 has neither path")
no({ items = { { captions = { "x", "y" }, pictures = { "a", 5 } } } },
   "picture 2 is no table, but 5")
own = clip.dataset { name = "own", root = root .. "/j", items = {
  { pictures = { "a.png", "b.png" }, captions = { "x", "y" }, id = "one" } } }
tap.is(own:picture(own.items[1].pictures[2]), root .. "/j/b.png", "own: a text for a picture")
tap.is(own.kind, "pairs", "own: two pictures")

-- ---- a field that no item of the kind has ----

local FIELDS = "(there are caption, id, image, label, offset, path, size, and what begins with _)"
no({ items = { { path = "a", label = "x" }, { path = "b", label = "x", lable = "y" } } },
   "item 2: unknown field 'lable' in an item of kind classification " .. FIELDS)
no({ items = { { path = "a", lable = "x" } } }, "unknown field 'lable'")
no({ items = { { path = "a", captions = { "x" }, label = "x" } }, task = "retrieval" },
   "unknown field 'label' in an item of kind retrieval (there are caption, captions, id")
no({ items = { { pictures = { "a", "b" }, captions = { "x", "y" }, gruop = "g" } } },
   "unknown field 'gruop' in an item of kind pairs")
no({ items = { { path = "a", text = "x", match = true, [1] = 5 } } }, "unknown field '1'")
bad('{"path": "b.png", "label": "x", "source": "web"}', "unknown field 'source'")
bad('{"path": "b.png", "captions": ["x"]}', "unknown field 'captions' in an item of kind classif")
no(jsonl '{"path": "a.png", "question": "q?", "answer": "x", "choises": ["x"]}',
   ":1: unknown field 'choises' in an item of kind vqa (there are answer, answer_type, answers, ch")
bad('{"path": "b.png", "label": "x", "offset": 5, "size": 5}', "unknown field 'offset'")
j = clip.dataset(jsonl '{"path": "a.png", "label": "x", "_source": {"web": 1}}')
tap.is(j.items[1]._source.web, 1, "what begins with an underscore is the user's own")
no(jsonl '{"path": "a.png", "captions": ["x"]}',
   "it has classes, which are for classification and " ..
   "multilabel, but its task is retrieval", { classes = { "x" } })

no(jsonl '{"path": "a.png", "label": "x", "image": "y"}',
   "(there are caption, id, label, path, and")
no(jsonl '{"pictures": [], "captions": ["x", "y"]}', ':1: "pictures" must be a list of paths')
no(jsonl '{"pictures": {"a": "a.png"}, "captions": ["x", "y"]}',
   '"pictures" must be a list of paths')
no(jsonl '{"path": "a.png", "question": "q?", "answer": "x", "question_type": 5}',
   ":1: question_type is no text, but 5")
no(jsonl '{"path": "c\\n.png", "label": "x"}', "the first would be " .. root .. "/j/c?.png)")
no(coco '{"images": {"a": {"id": 1, "file_name": "b.jpg"}}, "annotations": []}',
   'captions_val2014.json: "images" must be a list, not an object')
karpathy()
no("karpathy:" .. root .. "/k", "dataset_coco.json: no images in it")
no(vqa(ONE, TEN:format(answers "")), "annotations[0]: answer 1 is empty")

-- ---- another format ----

no(jsonl '[{"path": "a.png", "label": "x"},\n {"path": "b.png", "label": "x"}]\n',
   "manifest.jsonl: a JSON array, where one object a line is expected")
no(jsonl "\n  [\n", "a JSON array, where one object")
no(wino("[" .. EX .. "]"), "examples.jsonl: a JSON array")
for name, what in pairs { ["x.h5"] = "HDF5", ["x.mat"] = "MATLAB's", ["x.parquet"] = "Parquet",
                          ["x.tar.gz"] = "an archive" } do
  tap.write("unread/" .. name, "x")
  for _, layout in ipairs { "jsonl", "csv", "list", "coco", "karpathy", "gqa", "winoground" } do
    no(layout .. ":" .. root .. "/unread/" .. name, name .. " is " .. what .. ", which is not read")
  end
end
tap.is(clip.dataset({ root = root .. "/j", classes = { "x", "y" }, items = {
  { path = "a.png", labels = { 2, "x" } } } }).items[1].labels[1], 2, "own: numbers from 1")
tap.done()
