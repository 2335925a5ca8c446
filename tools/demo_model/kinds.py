# SPDX-License-Identifier: Apache-2.0
"""The kinds of object in the toy world and where their drawings come from.

One line per kind:  name | plural | group | Noto characters | emoji slugs | openclipart files | icons

* names follow COCO-80 where COCO has the kind, since object tags use COCO names;
* group decides actions, places and wording (see captions.py);
* slugs are icon names inside the emoji packages listed in assets.py, tried in every package;
* openclipart files are base names below /usr/share/openclipart/svg, all looked at by a person;
* icons are package/name pairs of one- and two-coloured icons, for crops only, all looked at by a person.

Chosen for many drawings that agree with each other: of most animals either the face or the whole body is used, not both.
"""
from dataclasses import dataclass

TABLE = """
cat|cats|pet|🐱|cat-face catface||icon-park/cat streamline-flex-color/cat-2 streamline-flex-color/cat-2-flat fluent-emoji-high-contrast/cat-face emojione-monotone/cat emojione-monotone/cat-face mdi/cat ph/cat-fill ph/cat-duotone
dog|dogs|pet|🐶|dog-face dogface||icon-park/dog streamline-flex-color/dog-1 streamline-flex-color/dog-1-flat fluent-emoji-high-contrast/dog-face emojione-monotone/dog emojione-monotone/dog-face mdi/dog ph/dog-fill ph/dog-duotone
rabbit|rabbits|pet|🐰|rabbit-face rabbitface||icon-park/rabbit fluent-emoji-high-contrast/rabbit-face emojione-monotone/rabbit emojione-monotone/rabbit-face ph/rabbit-fill ph/rabbit-duotone
horse|horses|farm|🐎|horse||fluent-emoji-high-contrast/horse emojione-monotone/horse mdi/horse fa6-solid/horse
cow|cows|farm|🐮|cow-face cowface cow||fluent-emoji-high-contrast/cow fluent-emoji-high-contrast/cow-face emojione-monotone/cow emojione-monotone/cow-face mdi/cow fa6-solid/cow ph/cow-fill ph/cow-duotone
sheep|sheep|farm|🐑🐏|ewe ram sheep|sheep-md-v0.1|mdi/sheep game-icons/sheep
pig|pigs|farm|🐷|pig-face pigface pig|pig_marcelo_caiafa1|icon-park/pig fluent-emoji-high-contrast/pig fluent-emoji-high-contrast/pig-face emojione-monotone/pig emojione-monotone/pig-face mdi/pig game-icons/pig tabler/pig-filled
duck|ducks|farm|🦆|duck|rubber_duck1_ganson rubber_duck2_ganson|icon-park/duck fluent-emoji-high-contrast/duck emojione-monotone/duck mdi/duck game-icons/duck
rooster|roosters|farm|🐓|rooster||fluent-emoji-high-contrast/rooster emojione-monotone/rooster emojione-monotone/chicken game-icons/rooster game-icons/chicken
fox|foxes|wild|🦊|fox fox-face||fluent-emoji-high-contrast/fox emojione-monotone/fox
lion|lions|wild|🦁|lion lion-face||fluent-emoji-high-contrast/lion emojione-monotone/lion-face
tiger|tigers|wild|🐯|tiger-face tigerface||fluent-emoji-high-contrast/tiger-face emojione-monotone/tiger emojione-monotone/tiger-face
panda|pandas|wild|🐼|panda panda-face pandaface||icon-park/panda fluent-emoji-high-contrast/panda emojione-monotone/panda-face mdi/panda game-icons/panda
bear|bears|wild|🐻|bear bear-face||icon-park/bear fluent-emoji-high-contrast/bear emojione-monotone/bear-face
monkey|monkeys|wild|🐵|monkey-face monkeyface|monkey_head_nicu_buculei_01|icon-park/monkey fluent-emoji-high-contrast/monkey-face emojione-monotone/monkey-face game-icons/monkey
frog|frogs|wild|🐸|frog frog-face frogface||icon-park/frog fluent-emoji-high-contrast/frog emojione-monotone/frog-face
elephant|elephants|wild|🐘|elephant|elephant_01|icon-park/elephant fluent-emoji-high-contrast/elephant emojione-monotone/elephant mdi/elephant game-icons/elephant
giraffe|giraffes|wild|🦒|giraffe||fluent-emoji-high-contrast/giraffe
camel|camels|wild|🐪🐫|camel two-hump-camel twohumpcamel bactriancamel||fluent-emoji-high-contrast/camel game-icons/camel
unicorn|unicorns|wild|🦄|unicorn unicorn-face||fluent-emoji-high-contrast/unicorn emojione-monotone/unicorn-face game-icons/unicorn
turtle|turtles|wild|🐢|turtle|turtle_jurgen_gaeremyn_01|fluent-emoji-high-contrast/turtle emojione-monotone/turtle mdi/tortoise game-icons/tortoise
snail|snails|wild|🐌|snail||fluent-emoji-high-contrast/snail emojione-monotone/snail mdi/snail game-icons/snail
penguin|penguins|wild|🐧|penguin|emperor_penguin_ralf_ste_01 new_penguin_charles_mcco_01|fluent-emoji-high-contrast/penguin emojione-monotone/penguin mdi/penguin game-icons/penguin
ladybug|ladybugs|wild|🐞|lady-beetle ladybeetle||mdi/ladybug ph/bug-fill ph/bug-duotone
owl|owls|flyer|🦉|owl||fluent-emoji-high-contrast/owl emojione-monotone/owl mdi/owl game-icons/owl
butterfly|butterflies|flyer|🦋|butterfly|butterfly_jonathan_dietr_01 butterfly_jonvdveen_01 farfalla_butterfly_fra1|icon-park/butterfly fluent-emoji-high-contrast/butterfly emojione-monotone/butterfly mdi/butterfly ph/butterfly-fill ph/butterfly-duotone
bee|bees|flyer|🐝|honeybee bee|bee bee1_mimooh_01 bee2_mimooh_01 bee3_mimooh_01|icon-park/bee mdi/bee game-icons/bee
fish|fish|sea|🐠🐟|fish tropical-fish tropicalfish|brown_fish_01|icon-park/fish-one streamline-flex-color/allergens-fish fluent-emoji-high-contrast/fish fluent-emoji-high-contrast/tropical-fish emojione-monotone/tropical-fish mdi/fish game-icons/tropical-fish fa6-solid/fish ph/fish-fill
whale|whales|sea|🐳🐋|whale spouting-whale spoutingwhale||icon-park/whale fluent-emoji-high-contrast/whale emojione-monotone/whale
octopus|octopuses|sea|🐙|octopus||fluent-emoji-high-contrast/octopus emojione-monotone/octopus game-icons/octopus
crab|crabs|sea|🦀|crab||icon-park/crab fluent-emoji-high-contrast/crab emojione-monotone/crab
car|cars|road|🚗|automobile|car car_jamin_ellis_ skoda_car_alejandro_teja_|mdi/car-side fa6-solid/car-side tabler/car-filled
bus|buses|road|🚌|bus|bus1_jarno_vasamaa_01 bus2_jarno_vasamaa_01|fluent-emoji-high-contrast/bus emojione-monotone/bus mdi/bus-side game-icons/bus
truck|trucks|road|🚚|delivery-truck deliverytruck||icon-park/truck fluent-emoji-high-contrast/delivery-truck emojione-monotone/delivery-truck mdi/truck fa6-solid/truck ph/truck-fill ph/truck-duotone tabler/truck-filled
tractor|tractors|road|🚜|tractor||fluent-emoji-high-contrast/tractor emojione-monotone/tractor mdi/tractor game-icons/farm-tractor fa6-solid/tractor ph/tractor-fill ph/tractor-duotone
bicycle|bicycles|road|🚲|bicycle|bicycle_01|streamline-flex-color/bicycle-bike streamline-flex-color/bicycle-bike-flat fluent-emoji-high-contrast/bicycle emojione-monotone/bicycle mdi/bicycle ph/bicycle-fill
motorcycle|motorcycles|road|🏍|motorcycle|motorcycle_jarno_vasama_|fluent-emoji-high-contrast/motorcycle mdi/motorbike fa6-solid/motorcycle ph/motorcycle-fill ph/motorcycle-duotone
train|trains|road|🚂|locomotive steamlocomotive|kiddy_train_orlando_kara_|fluent-emoji-high-contrast/locomotive emojione-monotone/locomotive game-icons/steam-locomotive
airplane|airplanes|aircraft|✈|airplane||icon-park/airplane streamline-flex-color/airport-plane fluent-emoji-high-contrast/airplane emojione-monotone/airplane mdi/airplane fa6-solid/plane ph/airplane-fill ph/airplane-duotone tabler/plane-filled
helicopter|helicopters|aircraft|🚁|helicopter||fluent-emoji-high-contrast/helicopter emojione-monotone/helicopter mdi/helicopter game-icons/helicopter fa6-solid/helicopter tabler/helicopter-filled
rocket|rockets|aircraft|🚀|rocket|rocket|icon-park/rocket icon-park/rocket-one streamline-flex-color/rocket streamline-flex-color/rocket-flat fluent-emoji-high-contrast/rocket emojione-monotone/rocket mdi/rocket game-icons/rocket fa6-solid/rocket ph/rocket-fill ph/rocket-duotone
boat|boats|boat|⛵|sailboat|sailboat_illustration boat_jarno_vasamaa1|icon-park/sailboat icon-park/sailboat-one fluent-emoji-high-contrast/sailboat emojione-monotone/sailboat mdi/sail-boat game-icons/sailboat fa6-solid/sailboat ph/sailboat-fill ph/sailboat-duotone
apple|apples|food|🍎🍏|red-apple green-apple redapple greenapple|an_apple_01 another_apple_01 apple apple_bitten_dan_gerhard_01 apple_martin_schmidt-li_01r cartoon_apple_k_yager_01|icon-park/apple icon-park/apple-one streamline-flex-color/apple streamline-flex-color/apple-flat mdi/apple mdi/food-apple game-icons/shiny-apple tabler/apple-filled
banana|bananas|food|🍌|banana|banana bananas_nicu_buculei_01|icon-park/banana fluent-emoji-high-contrast/banana emojione-monotone/banana game-icons/banana
pineapple|pineapples|food|🍍|pineapple||icon-park/pineapple fluent-emoji-high-contrast/pineapple emojione-monotone/pineapple game-icons/pineapple
strawberry|strawberries|food|🍓|strawberry|strawberry strawberry_01 strawberry_jonathan_diet_01 strawberry_simple|fluent-emoji-high-contrast/strawberry emojione-monotone/strawberry game-icons/strawberry
watermelon|watermelons|food|🍉|watermelon|watermelon_simple|icon-park/watermelon icon-park/watermelon-one fluent-emoji-high-contrast/watermelon emojione-monotone/watermelon
grapes|grapes|food|🍇|grapes|grape_01 grapes_01 grapes_simple|fluent-emoji-high-contrast/grapes emojione-monotone/grapes game-icons/grapes
cherry|cherries|food|🍒|cherries|cherry_jean_victor_balin_ cherry_jonathan_dietrich_01|icon-park/cherry fluent-emoji-high-contrast/cherries emojione-monotone/cherries mdi/fruit-cherries game-icons/cherry ph/cherries-fill ph/cherries-duotone tabler/cherry-filled
carrot|carrots|food|🥕|carrot||icon-park/carrot streamline-flex-color/carrot streamline-flex-color/carrot-flat fluent-emoji-high-contrast/carrot emojione-monotone/carrot mdi/carrot game-icons/carrot fa6-solid/carrot ph/carrot-fill ph/carrot-duotone
pizza|pizzas|food|🍕|pizza sliceofpizza|pizza_slice_fco._andrade_01|fluent-emoji-high-contrast/pizza emojione-monotone/pizza mdi/pizza game-icons/pizza-slice fa6-solid/pizza-slice ph/pizza-fill ph/pizza-duotone tabler/pizza-filled
hamburger|hamburgers|food|🍔|hamburger|burger_http_www.treebui_r chicken_burger|icon-park/hamburger icon-park/hamburger-one fluent-emoji-high-contrast/hamburger emojione-monotone/hamburger mdi/hamburger game-icons/hamburger fa6-solid/burger ph/hamburger-fill ph/hamburger-duotone
cake|cakes|food|🎂|birthday-cake birthdaycake|birthday_cake cake1_jarno_vasamaa_01 cake_jarno_vasamaa_r|icon-park/birthday-cake icon-park/cake fluent-emoji-high-contrast/birthday-cake emojione-monotone/birthday-cake mdi/cake ph/cake-fill ph/cake-duotone
donut|donuts|food|🍩|doughnut donut||icon-park/doughnut fluent-emoji-high-contrast/doughnut emojione-monotone/doughnut game-icons/donut
ice cream|ice creams|food|🍦|soft-ice-cream softicecream||icon-park/icecream mdi/ice-cream game-icons/ice-cream-cone fa6-solid/ice-cream ph/ice-cream-fill ph/ice-cream-duotone
umbrella|umbrellas|thing|☂☔|umbrella umbrella-with-rain-drops umbrellawithraindrops|umbrella canada_umbrella_ganson|icon-park/umbrella icon-park/umbrella-one fluent-emoji-high-contrast/umbrella emojione-monotone/umbrella mdi/umbrella game-icons/umbrella fa6-solid/umbrella ph/umbrella-fill ph/umbrella-duotone tabler/umbrella-filled
clock|clocks|thing|⏰|alarm-clock alarmclock|alarm_clock_mike_powers_|icon-park/alarm-clock fluent-emoji-high-contrast/alarm-clock emojione-monotone/alarm-clock mdi/alarm ph/alarm-fill ph/alarm-duotone
guitar|guitars|thing|🎸|guitar|guitar_ganson guitar_jarno_vasamaa1 guitar_jarno_vasamaa2 electric_guitar_andrea__01r|fluent-emoji-high-contrast/guitar emojione-monotone/guitar game-icons/guitar fa6-solid/guitar ph/guitar-fill ph/guitar-duotone
scissors|scissors|thing|✂|scissors blackscissors|scissors scissors_01 scissors_02 scissors_03 scissors_forbici_franc_|streamline-flex-color/scissors streamline-flex-color/scissors-flat fluent-emoji-high-contrast/scissors emojione-monotone/scissors game-icons/scissors fa6-solid/scissors ph/scissors-fill ph/scissors-duotone
gift|gifts|thing|🎁|wrapped-gift wrappedgift wrappedpresent|gift01 gift02 gift03 gift04 gift05|icon-park/gift streamline-flex-color/gift-2 streamline-flex-color/gift-2-flat mdi/gift game-icons/present fa6-solid/gift ph/gift-fill ph/gift-duotone tabler/gift-filled
crown|crowns|thing|👑|crown||icon-park/crown streamline-flex-color/crown streamline-flex-color/crown-flat fluent-emoji-high-contrast/crown emojione-monotone/crown mdi/crown fa6-solid/crown ph/crown-fill ph/crown-duotone tabler/crown-filled
sports ball|sports balls|thing|⚽|soccer-ball soccerball|soccer_ball_ganson soccer_ballon_tanguy_jac_ football_ball_brice_boye_01|icon-park/football fluent-emoji-high-contrast/soccer-ball emojione-monotone/soccer-ball mdi/soccer fa6-solid/futbol ph/soccer-ball-fill ph/soccer-ball-duotone
balloon|balloons|thing|🎈|balloon||streamline-flex-color/balloon streamline-flex-color/balloon-flat fluent-emoji-high-contrast/balloon emojione-monotone/balloon mdi/balloon ph/balloon-fill ph/balloon-duotone tabler/balloon-filled
tree|trees|plant|🌳|deciduous-tree deciduoustree|cartoon_tree_01 fall_coloured_tree_geral_01 tree_whit_fruits_01|icon-park/tree fluent-emoji-high-contrast/deciduous-tree emojione-monotone/deciduous-tree mdi/tree ph/tree-fill ph/tree-duotone
palm tree|palm trees|plant|🌴|palm-tree palmtree||fluent-emoji-high-contrast/palm-tree emojione-monotone/palm-tree mdi/palm-tree game-icons/palm-tree
sunflower|sunflowers|plant|🌻|sunflower||fluent-emoji-high-contrast/sunflower emojione-monotone/sunflower game-icons/sunflower
cactus|cacti|plant|🌵|cactus||icon-park/cactus fluent-emoji-high-contrast/cactus emojione-monotone/cactus mdi/cactus game-icons/cactus ph/cactus-fill ph/cactus-duotone tabler/cactus-filled
mushroom|mushrooms|plant|🍄|mushroom|mushroom mushroom_benji_park_|fluent-emoji-high-contrast/mushroom emojione-monotone/mushroom mdi/mushroom game-icons/mushroom tabler/mushroom-filled
house|houses|building|🏠|house housebuilding|house_gabrielle_nowicki_ house_juliane_krug_01 my_house_01 small_house_01|icon-park/home streamline-flex-color/home-2 streamline-flex-color/home-2-flat fluent-emoji-high-contrast/house emojione-monotone/house mdi/home game-icons/house fa6-solid/house ph/house-fill ph/house-duotone
"""


@dataclass(frozen=True)
class Kind:
    """One kind of object; see the module text for the meaning of the columns."""
    index: int
    name: str
    plural: str
    group: str
    noto: str
    slugs: tuple
    clipart: tuple
    icons: tuple


def _parse():
    kinds = []
    for line in TABLE.strip().splitlines():
        name, plural, group, noto, slugs, clipart, icons = line.split("|")
        kinds.append(Kind(len(kinds), name, plural, group, noto, tuple(slugs.split()), tuple(clipart.split()),
                          tuple(icons.split())))
    return kinds


KINDS = _parse()
BY_NAME = {kind.name: kind for kind in KINDS}
