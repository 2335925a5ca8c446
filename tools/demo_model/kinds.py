# SPDX-License-Identifier: Apache-2.0
"""The kinds of object in the toy world and where their drawings come from.

One line per kind:  name | plural | group | Noto characters | emoji slugs | openclipart files

* names follow COCO-80 where COCO has the kind, since object tags use COCO names;
* group decides actions, places and wording (see captions.py);
* slugs are icon names inside the emoji packages listed in assets.py, tried in every package;
* openclipart files are base names below /usr/share/openclipart/svg, all looked at by a person.

Chosen for many drawings that agree with each other: of most animals either the face or the whole body is used, not both.
"""
from dataclasses import dataclass

TABLE = """
cat|cats|pet|🐱|cat-face catface|
dog|dogs|pet|🐶|dog-face dogface|
rabbit|rabbits|pet|🐰|rabbit-face rabbitface|
horse|horses|farm|🐎|horse|
cow|cows|farm|🐮|cow-face cowface cow|
sheep|sheep|farm|🐑🐏|ewe ram sheep|sheep-md-v0.1
pig|pigs|farm|🐷|pig-face pigface pig|pig_marcelo_caiafa1
duck|ducks|farm|🦆|duck|rubber_duck1_ganson rubber_duck2_ganson
rooster|roosters|farm|🐓|rooster|
fox|foxes|wild|🦊|fox fox-face|
lion|lions|wild|🦁|lion lion-face|
tiger|tigers|wild|🐯|tiger-face tigerface|
panda|pandas|wild|🐼|panda panda-face pandaface|
bear|bears|wild|🐻|bear bear-face|
monkey|monkeys|wild|🐵|monkey-face monkeyface|monkey_head_nicu_buculei_01
frog|frogs|wild|🐸|frog frog-face frogface|
elephant|elephants|wild|🐘|elephant|elephant_01
giraffe|giraffes|wild|🦒|giraffe|
camel|camels|wild|🐪🐫|camel two-hump-camel twohumpcamel bactriancamel|
unicorn|unicorns|wild|🦄|unicorn unicorn-face|
turtle|turtles|wild|🐢|turtle|turtle_jurgen_gaeremyn_01
snail|snails|wild|🐌|snail|
penguin|penguins|wild|🐧|penguin|emperor_penguin_ralf_ste_01 new_penguin_charles_mcco_01
ladybug|ladybugs|wild|🐞|lady-beetle ladybeetle|
owl|owls|flyer|🦉|owl|
butterfly|butterflies|flyer|🦋|butterfly|butterfly_jonathan_dietr_01 butterfly_jonvdveen_01 farfalla_butterfly_fra1
bee|bees|flyer|🐝|honeybee bee|bee bee1_mimooh_01 bee2_mimooh_01 bee3_mimooh_01
fish|fish|sea|🐠🐟|fish tropical-fish tropicalfish|brown_fish_01
whale|whales|sea|🐳🐋|whale spouting-whale spoutingwhale|
octopus|octopuses|sea|🐙|octopus|
crab|crabs|sea|🦀|crab|
car|cars|road|🚗|automobile|car car_jamin_ellis_ skoda_car_alejandro_teja_
bus|buses|road|🚌|bus|bus1_jarno_vasamaa_01 bus2_jarno_vasamaa_01
truck|trucks|road|🚚|delivery-truck deliverytruck|
tractor|tractors|road|🚜|tractor|
bicycle|bicycles|road|🚲|bicycle|bicycle_01
motorcycle|motorcycles|road|🏍|motorcycle|motorcycle_jarno_vasama_
train|trains|road|🚂|locomotive steamlocomotive|kiddy_train_orlando_kara_
airplane|airplanes|aircraft|✈|airplane|
helicopter|helicopters|aircraft|🚁|helicopter|
rocket|rockets|aircraft|🚀|rocket|rocket
boat|boats|boat|⛵|sailboat|sailboat_illustration boat_jarno_vasamaa1
apple|apples|food|🍎🍏|red-apple green-apple redapple greenapple|an_apple_01 another_apple_01 apple apple_bitten_dan_gerhard_01 apple_martin_schmidt-li_01r cartoon_apple_k_yager_01
banana|bananas|food|🍌|banana|banana bananas_nicu_buculei_01
pineapple|pineapples|food|🍍|pineapple|
strawberry|strawberries|food|🍓|strawberry|strawberry strawberry_01 strawberry_jonathan_diet_01 strawberry_simple
watermelon|watermelons|food|🍉|watermelon|watermelon_simple
grapes|grapes|food|🍇|grapes|grape_01 grapes_01 grapes_simple
cherry|cherries|food|🍒|cherries|cherry_jean_victor_balin_ cherry_jonathan_dietrich_01
carrot|carrots|food|🥕|carrot|
pizza|pizzas|food|🍕|pizza sliceofpizza|pizza_slice_fco._andrade_01
hamburger|hamburgers|food|🍔|hamburger|burger_http_www.treebui_r chicken_burger
cake|cakes|food|🎂|birthday-cake birthdaycake|birthday_cake cake1_jarno_vasamaa_01 cake_jarno_vasamaa_r
donut|donuts|food|🍩|doughnut donut|
ice cream|ice creams|food|🍦|soft-ice-cream softicecream|
umbrella|umbrellas|thing|☂☔|umbrella umbrella-with-rain-drops umbrellawithraindrops|umbrella canada_umbrella_ganson
clock|clocks|thing|⏰|alarm-clock alarmclock|alarm_clock_mike_powers_
guitar|guitars|thing|🎸|guitar|guitar_ganson guitar_jarno_vasamaa1 guitar_jarno_vasamaa2 electric_guitar_andrea__01r
scissors|scissors|thing|✂|scissors blackscissors|scissors scissors_01 scissors_02 scissors_03 scissors_forbici_franc_
gift|gifts|thing|🎁|wrapped-gift wrappedgift wrappedpresent|gift01 gift02 gift03 gift04 gift05
crown|crowns|thing|👑|crown|
sports ball|sports balls|thing|⚽|soccer-ball soccerball|soccer_ball_ganson soccer_ballon_tanguy_jac_ football_ball_brice_boye_01
balloon|balloons|thing|🎈|balloon|
tree|trees|plant|🌳|deciduous-tree deciduoustree|cartoon_tree_01 fall_coloured_tree_geral_01 tree_whit_fruits_01
palm tree|palm trees|plant|🌴|palm-tree palmtree|
sunflower|sunflowers|plant|🌻|sunflower|
cactus|cacti|plant|🌵|cactus|
mushroom|mushrooms|plant|🍄|mushroom|mushroom mushroom_benji_park_
house|houses|building|🏠|house housebuilding|house_gabrielle_nowicki_ house_juliane_krug_01 my_house_01 small_house_01
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


def _parse():
    kinds = []
    for line in TABLE.strip().splitlines():
        name, plural, group, noto, slugs, clipart = line.split("|")
        kinds.append(Kind(len(kinds), name, plural, group, noto, tuple(slugs.split()), tuple(clipart.split())))
    return kinds


KINDS = _parse()
BY_NAME = {kind.name: kind for kind in KINDS}
