"""The few look-ups that the other scripts need in Princeton WordNet 3.0's plain files."""
import os
import re

# Readable kinds, most specific first within a branch: name -> lemma.sense
KINDS = {
    "dog": "dog.1", "cat": "cat.1", "horse": "horse.1", "bird": "bird.1", "fish": "fish.1",
    "insect": "insect.1", "spider": "spider.1", "reptile": "reptile.1", "dinosaur": "dinosaur.1",
    "amphibian": "amphibian.3", "shellfish": "crustacean.1", "mollusk": "mollusk.1",
    "mammal": "mammal.1", "animal": "animal.1",
    "tree": "tree.1", "flower": "flower.1", "mushroom": "fungus.1", "leaf": "leaf.1", "plant": "plant.2",
    "fruit": "edible_fruit.1", "vegetable": "vegetable.1", "dessert": "dessert.1", "bread": "bread.1",
    "candy": "sweet.3", "meat": "meat.1", "nut": "nut.1", "drink": "beverage.1",
    "food": "food.1", "food ": "food.2",
    "car": "car.1", "truck": "truck.1", "bicycle": "bicycle.1", "train": "train.1",
    "boat": "vessel.2", "aircraft": "aircraft.1", "vehicle": "vehicle.1",
    "shoe": "footwear.1", "footwear": "footwear.2", "hat": "headdress.1", "trousers": "trouser.1",
    "shirt": "shirt.1", "dress": "dress.1", "coat": "coat.1", "sweater": "sweater.1",
    "bag": "bag.1", "handbag": "bag.4", "luggage": "baggage.1", "clothing": "clothing.1",
    "jewelry": "jewelry.1",
    "house": "house.1", "building": "building.1", "tower": "tower.1", "bridge": "bridge.1",
    "structure": "structure.1", "furniture": "furniture.1",
    "musical instrument": "musical_instrument.1", "weapon": "weapon.1", "tool": "tool.1",
    "kitchen utensil": "kitchen_utensil.1", "dish": "dish.1", "container": "container.1",
    "household item": "household_appliance.1",
    "computer": "computer.1", "electronic device": "electronic_equipment.1",
    "clock": "timepiece.1", "lamp": "lamp.1", "light": "light.2",
    "ball": "ball.1", "sports equipment": "sports_equipment.1", "toy": "plaything.1",
    "sport": "sport.1", "game": "game.1", "holiday": "holiday.2",
    "medicine": "medicine.2", "medical instrument": "medical_instrument.1",
    "body part": "body_part.1", "planet": "planet.1", "celestial body": "celestial_body.1",
    "weather": "weather.1", "money": "money.3", "coin": "coin.1", "flag": "flag.1",
    "letter of the alphabet": "letter.2", "number": "number.2", "symbol": "symbol.1", "sign": "sign.2",
    "book": "book.1", "writing implement": "writing_implement.1", "mountain": "mountain.1",
    "machine": "machine.1", "instrument": "instrument.1", "person": "person.1",
}


class WordNet:
    def __init__(self, root):
        self.data = {}      # offset -> (lexfile, lemmas, hypernyms, gloss), nouns
        self.senses = {}    # lemma with spaces -> offsets, nouns
        self.tagged = {}    # lemma -> number of senses that were seen in tagged text
        self.irregular = {}
        with open(os.path.join(root, "data.noun"), encoding="latin-1") as f:
            for line in f:
                if line.startswith(" "):
                    continue
                head, gloss = line.split(" | ", 1)
                t = head.split()
                n = int(t[3], 16)
                lemmas = [t[4 + 2 * i].replace("_", " ") for i in range(n)]
                p = 4 + 2 * n
                up = [t[p + 2 + 4 * i] for i in range(int(t[p])) if t[p + 1 + 4 * i] in ("@", "@i")]
                self.data[t[0]] = (int(t[1]), lemmas, up, gloss.strip())
        with open(os.path.join(root, "index.noun"), encoding="latin-1") as f:
            for line in f:
                if line.startswith(" "):
                    continue
                t = line.split()
                n = int(t[2])
                self.senses[t[0].replace("_", " ")] = t[-n:]
                self.tagged[t[0].replace("_", " ")] = int(t[-n - 1])
        with open(os.path.join(root, "noun.exc"), encoding="latin-1") as f:
            for line in f:
                t = line.split()
                if len(t) > 1:
                    self.irregular[t[0].replace("_", " ")] = t[1].replace("_", " ")
        self.words = set()  # every English word known, of any part of speech
        for pos in ("noun", "verb", "adj", "adv"):
            with open(os.path.join(root, "index." + pos), encoding="latin-1") as f:
                for line in f:
                    if not line.startswith(" "):
                        self.words.update(re.split("[_-]", line.split()[0]))
        self.kind_of = {}
        for name, key in KINDS.items():
            lemma, sense = key.split(".")
            offs = self.senses.get(lemma.replace("_", " "), [])
            if len(offs) >= int(sense):
                self.kind_of[offs[int(sense) - 1]] = name.strip()

    def singular(self, w):
        if w in self.senses:
            return w
        if w in self.irregular:
            return self.irregular[w]
        for a, b in (("ies", "y"), ("ves", "f"), ("es", ""), ("es", "e"), ("s", "")):
            if w.endswith(a) and w[:-len(a)] + b in self.senses:
                return w[:-len(a)] + b
        return w

    def closure(self, off):
        seen, todo = [], [off]
        while todo:
            o = todo.pop(0)
            if o not in seen:
                seen.append(o)
                todo += self.data[o][2]
        return seen

    def head(self, name):
        """The longest noun that ends NAME (before its first preposition), or None."""
        words = re.split(r" (?:with|in|of|on|for|facing|holding|at|from|and|over|to|by)\b", name.lower())[0].split()
        for i in range(len(words)):
            for cand in (" ".join(words[i:]), " ".join(words[i:-1] + [self.singular(words[-1])]) if words else ""):
                if cand in self.senses:
                    return cand
        return None

    def kinds(self, name):
        """(kinds, lexicographer file) of the head noun's first sense."""
        h = self.head(name)
        if not h:
            return [], -1
        off = self.senses[h][0]
        ks = []
        for o in self.closure(off):
            k = self.kind_of.get(o)
            if k and k not in ks:
                ks.append(k)
        if "vehicle" in ks and "container" in ks:  # WordNet's wheeled vehicles are containers
            ks.remove("container")
        return ks, self.data[off][0]
